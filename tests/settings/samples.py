"""For every setting: a text that is accepted and is not the default, and texts that are not."""

from __future__ import annotations

from pathlib import Path

GOOD: dict[str, tuple[str, object]] = {
    "system_port": ("9090", 9090),
    "system_host": ("[::1]", "::1"),
    "system_socket": ("/run/serinus.sock", "/run/serinus.sock"),
    "system_health_path": ("/ready", "/ready"),
    "system_live_path": ("/alive", "/alive"),
    "system_starting_health_status": ("Ready", "ready"),
    "use_endpoint_health_status": ('["generate", "encode"]', ("generate", "encode")),
    "failure_threshold": ("3", 3),
    "success_threshold": ("2", 2),
    "health_check_busy_stall": ("1m", 60.0),
    "loop_stall": ("2.5", 2.5),
    "health_check_enabled": ("YES", True),
    "canary_wait_time": ("500ms", 0.5),
    "health_check_request_timeout": ("2s", 2.0),
    "health_check_payload": ('{"token_ids": [1]}', '{"token_ids": [1]}'),
    "lenient_payload": ("on", True),
    "canary_jitter": ("0.25", 0.25),
    "canary_concurrency": ("8", 8),
    "canary_cancel_grace": ("0", 0.0),
    "live_mode": ("DYNAMO", "dynamo"),
    "degraded_policy": ("NotReady", "notready"),
    "excuse_budget": ("20s", 20.0),
    "hang_budget": ("5s", 5.0),
    "loop_budget": ("2m", 120.0),
    "engine_health_check_interval": ("120", 120.0),
    "engine_health_check_timeout": ("0", 0.0),
    "engine_health_check_max_failures": ("3", 3),
    "engine_health_shutdown_timeout": ("15", 15.0),
    "drain_grace_period": ("5", 5.0),
    "drain_timeout": ("900", 900.0),
    "lease_max": ("1h", 3600.0),
    "status_max_connections": ("500", 500),
    "status_header_bytes": ("16384", 16384),
    "status_header_timeout": ("1", 1.0),
    "status_idle_timeout": ("30", 30.0),
    "status_linger": ("0.2", 0.2),
    "status_details": ("off", "off"),
    "status_token": ("swordfish", "swordfish"),
    "status_token_file": (str(Path(__file__).parent / "secret.txt"),) * 2,
    "history_size": ("0", 0),
    "api_key": ("sk-12345", "sk-12345"),
    "api_key_file": (str(Path(__file__).parent / "secret.txt"),) * 2,
    "scrape_interval": ("0.25", 0.25),
    "model": ("org/model", "org/model"),
    "engine_death_notice": ("2m", 120.0),
    "record": ("/var/lib/serinus/trace", "/var/lib/serinus/trace"),
    "record_bytes": ("1048576", 1048576),
    "record_keep": ("0", 0),
}

PORT = "a whole number up to 65535: 0 = a free port, negative = off"
HOST = "a host name or address to listen on, such as 0.0.0.0, :: or 127.0.0.1"
URL_PATH = "a path that starts with '/', without spaces or any of ? # % \\ \""
MOMENT = "seconds from 0.001 to 1000000000, such as 10, 0.5, 500ms, 2s, 1m"
SPAN = "seconds from 0 to 1000000000, such as 10, 0.5, 500ms, 2s, 1m"
TRUTH = "true or false (also 1, 0, yes, no, on, off)"
SECRET = "visible ASCII characters without spaces"
NAMES = 'names between commas, or an array such as ["generate"]'

NO_MOMENT = ["0", "-1", "0.0001", "xx", "nan", "inf", "1e10", "1_0", "2 days", "s", "\u0661"]
NO_SPAN = ["-1", "-500ms", "xx", "NaN", "-inf", "1e10", "1e999", "ms", "1..2"]
NO_TRUTH = ["2", "ja", "truee", "-1"]

BAD: dict[str, tuple[str, list[str]]] = {
    "system_port": (PORT, ["abc", "65536", "90.5", "9_090", "1e3", "--1", "0x50", "\u0663"]),
    "system_host": (HOST, ["http://0.0.0.0", "a b", "host/", "[]", "hôte", "a@b"]),
    "system_socket": ("the path of a unix socket, at most 107 bytes long", ["/" + "x" * 107]),
    "system_health_path": (URL_PATH, ["health", "/a b", "/a?b", "/a#b", "/%41", '/"', "/é"]),
    "system_live_path": (URL_PATH, ["live", "/a\tb", "/a\\b", "http://x/live"]),
    "system_starting_health_status": ("ready or notready", ["healthy", "not ready", "1"]),
    "use_endpoint_health_status": (
        NAMES,
        ["[generate]", "[1]", '["a", 2]', '[""]', "a,,b", "a b", '["a"', '{"a": 1}', '["a"]\nx=1'],
    ),
    "failure_threshold": ("a whole number from 1 to 1000", ["0", "-1", "1.5", "many", "1001"]),
    "success_threshold": ("a whole number from 1 to 1000", ["0", "x"]),
    "health_check_busy_stall": (MOMENT, NO_MOMENT),
    "loop_stall": (MOMENT, NO_MOMENT),
    "health_check_enabled": (TRUTH, NO_TRUTH),
    "canary_wait_time": (MOMENT, NO_MOMENT),
    "health_check_request_timeout": (MOMENT, NO_MOMENT),
    "health_check_payload": ("a JSON object, or @ and the path of a file with one", [""]),
    "lenient_payload": (TRUTH, NO_TRUTH),
    "canary_jitter": ("a number from 0 to 0.5", ["-0.1", "0.6", "10%", "nan", "x"]),
    "canary_concurrency": ("a whole number from 1 to 65536", ["0", "65537", "1.0"]),
    "canary_cancel_grace": (SPAN, NO_SPAN),
    "degraded_policy": ("report or notready", ["ready", "not ready", "1"]),
    "live_mode": ("serinus or dynamo", ["both", "dynamo!"]),
    "excuse_budget": (MOMENT, NO_MOMENT),
    "hang_budget": (MOMENT, NO_MOMENT),
    "loop_budget": (MOMENT, NO_MOMENT),
    "engine_health_check_interval": (MOMENT, NO_MOMENT),
    "engine_health_check_timeout": (SPAN, NO_SPAN),
    "engine_health_check_max_failures": ("a whole number from 1 to 1000", ["0", "-3", "x"]),
    "engine_health_shutdown_timeout": (MOMENT, NO_MOMENT),
    "drain_grace_period": (SPAN, NO_SPAN),
    "drain_timeout": (SPAN, NO_SPAN),
    "lease_max": (MOMENT, NO_MOMENT),
    "status_max_connections": ("a whole number from 1 to 65536", ["0", "65537"]),
    "status_header_bytes": ("a whole number from 256 to 1048576", ["255", "1048577", "8k"]),
    "status_header_timeout": (MOMENT, NO_MOMENT),
    "status_idle_timeout": (MOMENT, NO_MOMENT),
    "status_linger": (SPAN, NO_SPAN),
    "status_details": ("local, token or off", ["everyone", "none"]),
    "status_token": (SECRET, ["two words", "schlüssel", "a\nb"]),
    "status_token_file": ("the path of a file", [""]),
    "history_size": ("a whole number from 0 to 65536", ["-1", "65537", "0.5"]),
    "api_key": (SECRET, ["two words", "schlüssel", "a\x07b"]),
    "api_key_file": ("the path of a file", [""]),
    "scrape_interval": (MOMENT, NO_MOMENT),
    "model": ("the name of a model", [""]),
    "engine_death_notice": (SPAN, NO_SPAN),
    "record": ("the path of a file", [""]),
    "record_bytes": ("a whole number from 65536 to 1099511627776", ["65535", "16M", "1e6", "-1"]),
    "record_keep": ("a whole number from 0 to 1000", ["-1", "1001", "x"]),
}
