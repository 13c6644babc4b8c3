"""Every setting, declared once: its field, its type, its default, and what is said about it.

The declaration checks nothing: `Settings` (model.py) is this and checked. The reference page
`docs/settings.md` and the flags are made from the rows here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from serinus.settings import words
from serinus.settings.kinds import Fraction, Names, Seconds, Truth, Whole, Word
from serinus.settings.table import Group, setting

__all__ = ["Declaration"]

MOMENT = Seconds(0.001)
"""For waits and deadlines: zero would mean a loop without a pace, or a deadline already missed."""
SPAN = Seconds(0)
"""For spans that may be skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """The fields of the settings. All durations are seconds."""

    def __post_init__(self) -> None:
        """Check nothing: `Settings` does."""

    # The status port

    system_port: int = setting(
        -1,
        Whole(None, 65535, accepted="a whole number up to 65535: 0 = a free port, negative = off"),
        Group.PORT,
        "The port that answers `/health`, `/live` and `/metrics`. Negative: none. 0: a free one.",
        env=("DYN_SYSTEM_PORT",),
        reference=("system_port",),
        flag="--port",
    )
    system_host: str = setting(
        "0.0.0.0",
        words.HOST,
        Group.PORT,
        "The address to listen on; the kubelet probes the pod's.",
        env=("DYN_SYSTEM_HOST",),
        reference=("system_host",),
        flag="--host",
    )
    system_socket: str | None = setting(
        None,
        words.SOCKET,
        Group.PORT,
        "A unix socket to listen on instead of a port.",
        env=("SERINUS_STATUS_SOCKET",),
        flag="--socket",
    )
    system_health_path: str = setting(
        "/health",
        words.URL_PATH,
        Group.PORT,
        "The path that answers readiness.",
        env=("DYN_SYSTEM_HEALTH_PATH",),
        reference=("system_health_path",),
        flag="--health-path",
    )
    system_live_path: str = setting(
        "/live",
        words.URL_PATH,
        Group.PORT,
        "The path that answers liveness.",
        env=("DYN_SYSTEM_LIVE_PATH",),
        reference=("system_live_path",),
        flag="--live-path",
    )

    # Readiness

    system_starting_health_status: Literal["ready", "notready"] = setting(
        "notready",
        Word("ready", "notready"),
        Group.READINESS,
        "The process-wide status at the start; it decides while no endpoint does.",
        env=("DYN_SYSTEM_STARTING_HEALTH_STATUS",),
        reference=("starting_health_status", "system_starting_health_status"),
        flag="--starting-health-status",
    )
    use_endpoint_health_status: tuple[str, ...] = setting(
        (),
        Names(),
        Group.READINESS,
        "The endpoints that must all be ready. Named here, they alone decide readiness.",
        env=("DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS",),
        reference=("use_endpoint_health_status",),
    )
    failure_threshold: int = setting(
        2,
        Whole(1, 1000),
        Group.READINESS,
        "Failures in a row that turn an endpoint not ready. 1 is what the reference does.",
    )
    success_threshold: int = setting(
        1,
        Whole(1, 1000),
        Group.READINESS,
        "Successes in a row that turn it ready again.",
    )
    health_check_busy_stall: float = setting(
        60.0,
        MOMENT,
        Group.READINESS,
        "A busy endpoint without any progress for this long is not ready.",
        env=("DYN_HEALTH_CHECK_BUSY_STALL",),
        reference=("health_check_busy_stall", "health_check_busy_stall_secs"),
    )
    degraded_policy: Literal["report", "notready"] = setting(
        "report",
        Word("report", "notready"),
        Group.READINESS,
        "What becomes of an endpoint that serves, but not as it should: `report`, it stays ready "
        "and a header says so; `notready`, it is not ready.",
    )
    degraded_factor: float = setting(
        3.0,
        Fraction(0, 1000),
        Group.READINESS,
        "How many times slower than its own past an endpoint is degraded: the first token of idle "
        "canaries, the time between tokens at like load. 0: never by that.",
    )
    objective_first_token: float = setting(
        0.0,
        SPAN,
        Group.READINESS,
        "The time to the first token that is asked of every endpoint; missed, it is degraded. "
        "0: none.",
    )
    objective_token_gap: float = setting(
        0.0,
        SPAN,
        Group.READINESS,
        "The time between tokens that is asked of every endpoint; missed, it is degraded. 0: none.",
    )
    objective_share: float = setting(
        0.95,
        Fraction(0, 1),
        Group.READINESS,
        "The share of requests that an objective is asked of.",
    )
    excuse_budget: float = setting(
        30.0,
        MOMENT,
        Group.READINESS,
        "For how long trouble of our own (a late event loop, a suspended host, a lost network) "
        "excuses silence; after it the endpoint that it hides is not ready.",
    )
    loop_stall: float = setting(
        5.0,
        MOMENT,
        Group.READINESS,
        "A worker whose event loop is blocked for this long is not ready.",
    )

    # Canaries

    health_check_enabled: bool = setting(
        default=False,
        kind=Truth(),
        group=Group.CANARIES,
        meaning="Whether canaries are sent to endpoints that have a payload.",
        env=("DYN_HEALTH_CHECK_ENABLED",),
        reference=("health_check_enabled",),
    )
    canary_wait_time: float = setting(
        10.0,
        MOMENT,
        Group.CANARIES,
        "How long an endpoint may prove nothing before a canary is sent.",
        env=("DYN_CANARY_WAIT_TIME",),
        reference=("canary_wait_time", "canary_wait_time_secs"),
    )
    health_check_request_timeout: float = setting(
        3.0,
        MOMENT,
        Group.CANARIES,
        "The time a canary has for its whole answer (the reference: for its first item).",
        env=("DYN_HEALTH_CHECK_REQUEST_TIMEOUT",),
        reference=("health_check_request_timeout", "health_check_request_timeout_secs"),
    )
    health_check_payload: str | None = setting(
        None,
        words.PAYLOAD,
        Group.CANARIES,
        "The payload to send instead of the engine's own.",
        env=("DYN_HEALTH_CHECK_PAYLOAD",),
    )
    lenient_payload: bool = setting(
        default=False,
        kind=Truth(),
        group=Group.CANARIES,
        meaning="Warn about a bad payload and use the engine's own, as the reference does, "
        "instead of stopping.",
    )
    canary_jitter: float = setting(
        0.1,
        Fraction(0, 0.5),
        Group.CANARIES,
        "The share of the wait by which a canary may come earlier, so that a fleet spreads out.",
    )
    canary_concurrency: int = setting(
        256,
        Whole(1, 65536),
        Group.CANARIES,
        "The most canaries in flight at once, over all endpoints (one each).",
    )
    canary_cancel_grace: float = setting(
        1.0,
        SPAN,
        Group.CANARIES,
        "The time the handler of a cancelled canary has to end before it is reported.",
    )

    # Deadlines that follow the machine

    adaptive: bool = setting(
        default=True,
        kind=Truth(),
        group=Group.LEARNING,
        meaning="Whether deadlines follow what is observed of each endpoint. Without, those "
        "configured hold at all times.",
    )
    adaptive_sensitivity: float = setting(
        8.0,
        Fraction(1, 100),
        Group.LEARNING,
        "How surprising a silence must be: φ, where one in 10^φ good answers would be later.",
    )
    adaptive_deadline_floor: float = setting(
        0.5,
        MOMENT,
        Group.LEARNING,
        "The shortest deadline of a canary that is learned.",
    )
    adaptive_deadline_ceiling: float = setting(
        0.0,
        SPAN,
        Group.LEARNING,
        "The longest deadline of a canary that is learned. 0: the one configured.",
    )
    adaptive_stall_floor: float = setting(
        1.0,
        MOMENT,
        Group.LEARNING,
        "The shortest silence of a busy endpoint after which a canary is sent on top of its work.",
    )
    adaptive_stall_ceiling: float = setting(
        0.0,
        SPAN,
        Group.LEARNING,
        "The longest such silence that is learned. 0: the stall budget.",
    )

    state_file: str | None = setting(
        None,
        words.FILE,
        Group.LEARNING,
        "A file in which what was learned survives a restart. Without it, nothing does.",
    )

    canary_budget: int = setting(
        0,
        Whole(0, 100_000_000),
        Group.CANARIES,
        "The most canaries of one endpoint in any 24 hours, at least 100; the wait stretches as "
        "they are used up. 0: no bound.",
    )
    canary_token_budget: int = setting(
        0,
        Whole(0, 10_000_000_000),
        Group.CANARIES,
        "The same in tokens that the engine makes for them.",
    )

    # Groups

    rank_canaries: Literal["rotate", "each"] = setting(
        "rotate",
        Word("rotate", "each"),
        Group.CANARIES,
        "How the ranks of one engine share its canaries: `rotate`, they take turns, one canary a "
        "wait for all of them; `each`, one a wait for each of them.",
    )
    group_policy: str = setting(
        "all",
        words.POLICY,
        Group.READINESS,
        "How many members of a group must be ready: `all`, `any`, `majority`, a number of them, "
        "or a share such as `75%`.",
    )
    ranks: int = setting(
        0,
        Whole(0, 1024),
        Group.SIDECAR,
        "How many data-parallel ranks each engine has. 0: as its metrics page tells; 1: they are "
        "not told apart.",
    )

    # Wrong output

    correctness_policy: Literal["off", "report", "degrade", "notready"] = setting(
        "off",
        Word("off", "report", "degrade", "notready"),
        Group.CORRECTNESS,
        "Whether greedy answers to fixed prompts are compared with what they were, and what becomes"
        " of an endpoint whose answers are wrong: `report`, it is told; `degrade`, it is degraded;"
        " `notready`, it is not ready.",
    )
    correctness_interval: float = setting(
        300.0,
        MOMENT,
        Group.CORRECTNESS,
        "How often such an answer is asked for, while nothing is suspected. Only an idle endpoint"
        " is asked.",
    )
    correctness_tokens: int = setting(
        24,
        Whole(12, 96),  # an engine that sends its whole answer at each token sends 0.6 MB for 96
        Group.CORRECTNESS,
        "The tokens of such an answer.",
    )
    correctness_tolerance: float = setting(
        0.25,
        Fraction(0, 20),
        Group.CORRECTNESS,
        "By how much log-probabilities may be off in the mean, in nats, and how near two tokens are"
        " whose order may change.",
    )
    correctness_prompts: str | None = setting(
        None,
        words.FILE,
        Group.CORRECTNESS,
        "A file with the prompts, one a line. Without it, three of its own.",
    )
    correctness_reference: str | None = setting(
        None,
        words.FILE,
        Group.CORRECTNESS,
        "A file with prompts and right answers, as `serinus reference` writes it; then nothing is"
        " learned. Without it, the first answers of a healthy start are taken for right.",
    )

    # Liveness

    live_mode: Literal["serinus", "dynamo"] = setting(
        "serinus",
        Word("serinus", "dynamo"),
        Group.LIVENESS,
        "What `/live` answers: `serinus`, whether a restart would help; `dynamo`, the same as "
        "`/health`, as the reference does.",
    )
    hang_budget: float = setting(
        60.0,
        MOMENT,
        Group.LIVENESS,
        "A hang proven for this long makes the worker not live.",
    )
    loop_budget: float = setting(
        60.0,
        MOMENT,
        Group.LIVENESS,
        "A worker whose event loop is blocked for this long is not live.",
    )

    # The engine's own health

    engine_health_check_interval: float = setting(
        2.0,
        MOMENT,
        Group.ENGINE,
        "How often the engine's own check is asked.",
        env=("DYN_ENGINE_HEALTH_CHECK_INTERVAL", "SGLANG_HEALTH_CHECK_INTERVAL"),
    )
    engine_health_check_timeout: float = setting(
        30.0,
        SPAN,
        Group.ENGINE,
        "The time it has to answer; past it a canary is sent. 0: no limit.",
        env=("DYN_ENGINE_HEALTH_CHECK_TIMEOUT", "SGLANG_HEALTH_CHECK_TIMEOUT"),
    )
    engine_health_check_max_failures: int = setting(
        1,
        Whole(1, 1000),
        Group.ENGINE,
        "Failures in a row, time-outs not among them, after which the engine counts as dead.",
        env=(
            "SERINUS_ENGINE_HEALTH_CHECK_MAX_FAILURES",
            "SGLANG_HEALTH_CHECK_MAX_FAILURES_BEFORE_SHUTDOWN",
        ),
    )
    engine_health_shutdown_timeout: float = setting(
        60.0,
        MOMENT,
        Group.ENGINE,
        "The time a dead engine has to shut down before the process exits.",
        env=("DYN_ENGINE_HEALTH_SHUTDOWN_TIMEOUT",),
    )

    # Draining and pauses

    drain_grace_period: float = setting(
        0.0,
        SPAN,
        Group.DRAINING,
        "How long `draining` is shown at least, so that load balancers see it.",
        env=("DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS",),
    )
    drain_timeout: float = setting(
        30.0,
        SPAN,
        Group.DRAINING,
        "The time that requests in flight have to finish.",
        env=(
            "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT",
            "DYN_RUNTIME_GRACEFUL_SHUTDOWN_TIMEOUT_SECS",
        ),
    )
    lease_max: float = setting(
        3600.0,
        MOMENT,
        Group.DRAINING,
        "The longest lease that an owner may take; renewed, it lasts as long again.",
    )
    lease_file: str | None = setting(
        None,
        words.FILE,
        Group.DRAINING,
        "A file by which leases are taken from outside the process; `serinus lease` writes it.",
    )

    # Limits of the status process

    status_max_connections: int = setting(
        1000,
        Whole(1, 65536),
        Group.LIMITS,
        "The most connections at once; past it the oldest idle one is closed first.",
    )
    status_header_bytes: int = setting(
        8192,
        Whole(256, 1048576),
        Group.LIMITS,
        "The most bytes of a request's line and headers.",
    )
    status_header_timeout: float = setting(
        10.0,
        MOMENT,
        Group.LIMITS,
        "The time that a request's line and headers have to arrive.",
    )
    status_idle_timeout: float = setting(
        75.0,
        MOMENT,
        Group.LIMITS,
        "How long a connection may stay open without a request.",
    )
    status_linger: float = setting(
        1.0,
        SPAN,
        Group.LIMITS,
        "How long the status process still answers after its worker died.",
    )

    # Who may see details

    status_details: Literal["local", "token", "off"] = setting(
        "local",
        Word("local", "token", "off"),
        Group.DETAILS,
        "Who may ask for `?verbose`: `local`, peers on loopback or the unix socket and whoever "
        "has the token; `token`, only who has the token; `off`, nobody.",
    )
    status_token: str | None = setting(
        None,
        words.SECRET,
        Group.DETAILS,
        "The bearer token for details.",
        secret=True,
    )
    status_token_file: str | None = setting(
        None,
        words.FILE,
        Group.DETAILS,
        "A file with the bearer token.",
    )
    history_size: int = setting(
        256,
        Whole(0, 65536),
        Group.DETAILS,
        "How many past changes of verdict are kept.",
    )

    # The sidecar

    api_key: str | None = setting(
        None,
        words.SECRET,
        Group.SIDECAR,
        "The API key for the engine.",
        secret=True,
    )
    api_key_file: str | None = setting(
        None,
        words.FILE,
        Group.SIDECAR,
        "A file with the API key.",
    )
    scrape_interval: float = setting(
        1.0,
        MOMENT,
        Group.SIDECAR,
        "How often the engine's metrics are read.",
    )
    model: str | None = setting(
        None,
        words.MODEL,
        Group.SIDECAR,
        "The model to ask; without it, the first that the engine lists.",
    )
    engine_death_notice: float = setting(
        90.0,
        SPAN,
        Group.SIDECAR,
        "How long a dead engine makes `/live` fail, for whoever restarts it; after that a new life "
        "is awaited: live, not ready.",
    )

    # Inside an ASGI app

    asgi_endpoint: str = setting(
        "asgi.server.generate",
        words.ADDRESS,
        Group.ASGI,
        "The address of the endpoint that the middleware judges.",
    )
    asgi_paths: tuple[str, ...] = setting(
        (
            "/v1/completions",
            "/v1/chat/completions",
            "/v1/responses",
            "/v1/messages",
            "/generate",
        ),
        Names(),
        Group.ASGI,
        "The paths whose POSTs are users' work.",
    )
    asgi_engine: str | None = setting(
        None,
        words.ENGINE,
        Group.ASGI,
        "The kind of server that the app is, one of `serinus engines`, for its canaries; without "
        "it there are none.",
    )

    # The frontend

    http_port: int = setting(
        8000,
        Whole(0, 65535),
        Group.FRONTEND,
        "The port of the frontend. 0: a free one.",
        env=("DYN_HTTP_PORT",),
    )
    http_host: str = setting(
        "0.0.0.0",
        words.HOST,
        Group.FRONTEND,
        "The address that it listens on.",
        env=("DYN_HTTP_HOST",),
    )
    http_health_path: str = setting(
        "/health",
        words.URL_PATH,
        Group.FRONTEND,
        "The path that answers the fleet's health.",
        env=("DYN_HTTP_SVC_HEALTH_PATH",),
    )
    http_live_path: str = setting(
        "/live",
        words.URL_PATH,
        Group.FRONTEND,
        "The path that answers whether the frontend runs.",
        env=("DYN_HTTP_SVC_LIVE_PATH",),
    )
    http_drain_timeout: float = setting(
        30.0,
        SPAN,
        Group.FRONTEND,
        "The time that requests in flight have to finish when the frontend ends.",
        env=("DYN_HTTP_GRACEFUL_SHUTDOWN_TIMEOUT_SECS",),
    )
    frontend_requires: tuple[str, ...] = setting(
        (),
        Names(),
        Group.FRONTEND,
        "What the frontend needs to be ready itself: models that must all be ready, or `*` for at "
        "least one instance that may serve. Nothing: it is ready with an empty list, as the "
        "reference is.",
    )
    frontend_streams: int = setting(
        1000,
        Whole(0, 65536),
        Group.FRONTEND,
        "The most readers of `/events` at once.",
    )
    fleet_minimum_share: float = setting(
        0.75,
        Fraction(0, 1),
        Group.FRONTEND,
        "The share of an endpoint's instances below which it is reported as short.",
    )
    fleet_panic_threshold: float = setting(
        0.5,
        Fraction(0, 1),
        Group.FRONTEND,
        "The share below which nobody is left out any more for what is seen from outside.",
    )
    fleet_stale_after: float = setting(
        3.0,
        SPAN,
        Group.FRONTEND,
        "How long discovery may be away before the view is called stale.",
    )
    fleet_stale_policy: Literal["report", "notready"] = setting(
        "report",
        Word("report", "notready"),
        Group.FRONTEND,
        "What becomes of a frontend whose view is stale: `report`, it serves what it last knew and "
        "says how old that is; `notready`, it is not ready.",
    )
    outside_interval: float = setting(
        10.0,
        SPAN,
        Group.FRONTEND,
        "How often each instance is probed from outside, by one frontend for all. 0: never.",
    )
    outside_timeout: float = setting(
        3.0,
        MOMENT,
        Group.FRONTEND,
        "The time that such a probe has.",
    )
    outside_rate: float = setting(
        100.0,
        Fraction(0.1, 10000),
        Group.FRONTEND,
        "The most such probes a second; in a fleet too large for it they come less often.",
    )
    outside_proof: Literal["reach", "request"] = setting(
        "reach",
        Word("reach", "request"),
        Group.FRONTEND,
        "What such a probe is: `reach`, the cheapest request that shows that it can be reached; "
        "`request`, the payload that it announces, through its request plane, which costs a token.",
    )
    outside_policy: Literal["report", "eject"] = setting(
        "eject",
        Word("report", "eject"),
        Group.FRONTEND,
        "What becomes of an instance that is ready in its own eyes and unreachable for others: "
        "`report`, it is shown; `eject`, it does not count as usable either.",
    )

    # Recording

    record: str | None = setting(
        None,
        words.FILE,
        Group.RECORDING,
        "A file to which all evidence is appended, for `serinus replay`. Without it, none is kept.",
    )
    record_bytes: int = setting(
        4194304,
        Whole(65536, 1099511627776),
        Group.RECORDING,
        "The size, in bytes, beyond which the file is put away, compressed, and begun anew.",
    )
    record_keep: int = setting(
        4,
        Whole(0, 1000),
        Group.RECORDING,
        "How many files that were put away are kept.",
    )

    # Discovery

    discovery_backend: Literal["off", "memory", "mem", "file", "etcd", "nats", "kubernetes"] = (
        setting(
            "off",
            Word("off", "memory", "mem", "file", "etcd", "nats", "kubernetes"),
            Group.DISCOVERY,
            "Where workers announce themselves and are found: `file`, a directory of this machine; "
            "`etcd`; `nats`; `kubernetes`, a namespace of the cluster; `memory` (or `mem`, the "
            "reference's word for it), this process alone; `off`, nowhere.",
            env=("DYN_DISCOVERY_BACKEND",),
        )
    )
    discovery_lease: float = setting(
        10.0,
        Seconds(1),
        Group.DISCOVERY,
        "How long after its death a worker is still listed, at most.",
    )
    file_kv: str | None = setting(
        None,
        words.DIRECTORY,
        Group.DISCOVERY,
        "The directory of the backend `file`. Not set: `dynamo_store_kv` in the directory for "
        "temporary files, as in the reference.",
        env=("DYN_FILE_KV",),
    )
    etcd_endpoints: str = setting(
        "http://localhost:2379",
        words.ETCD,
        Group.DISCOVERY,
        "Where etcd is: its endpoints, between commas. The first that answers is used, and the "
        "next one when it fails.",
        env=("ETCD_ENDPOINTS",),
    )
    etcd_auth_username: str | None = setting(
        None,
        words.USER,
        Group.DISCOVERY,
        "The user for etcd.",
        env=("ETCD_AUTH_USERNAME",),
    )
    etcd_auth_password: str | None = setting(
        None,
        words.PASSWORD,
        Group.DISCOVERY,
        "The user's password.",
        env=("ETCD_AUTH_PASSWORD",),
        secret=True,
    )
    etcd_auth_ca: str | None = setting(
        None,
        words.FILE,
        Group.DISCOVERY,
        "A file with the certificates (PEM) of who may vouch for etcd. Not set: the system's.",
        env=("ETCD_AUTH_CA",),
    )
    etcd_auth_client_cert: str | None = setting(
        None,
        words.FILE,
        Group.DISCOVERY,
        "A file with this client's certificate (PEM) for etcd.",
        env=("ETCD_AUTH_CLIENT_CERT",),
    )
    etcd_auth_client_key: str | None = setting(
        None,
        words.FILE,
        Group.DISCOVERY,
        "A file with the key (PEM) of that certificate.",
        env=("ETCD_AUTH_CLIENT_KEY",),
    )
    nats_server: str = setting(
        "nats://localhost:4222",
        words.NATS,
        Group.DISCOVERY,
        "Where NATS is: its servers, between commas. The first that answers is used, and the next "
        "one when it fails.",
        env=("NATS_SERVER",),
    )
    nats_auth_username: str | None = setting(
        None,
        words.USER,
        Group.DISCOVERY,
        "The user for NATS.",
        env=("NATS_AUTH_USERNAME",),
    )
    nats_auth_password: str | None = setting(
        None,
        words.PASSWORD,
        Group.DISCOVERY,
        "The user's password.",
        env=("NATS_AUTH_PASSWORD",),
        secret=True,
    )
    nats_auth_token: str | None = setting(
        None,
        words.PASSWORD,
        Group.DISCOVERY,
        "A token for NATS, where there is no user.",
        env=("NATS_AUTH_TOKEN",),
        secret=True,
    )
    nats_auth_nkey: str | None = setting(
        None,
        words.PASSWORD,
        Group.DISCOVERY,
        "The seed of an NKey for NATS, where there is neither user nor token.",
        env=("NATS_AUTH_NKEY",),
        secret=True,
    )
    nats_auth_credentials_file: str | None = setting(
        None,
        words.FILE,
        Group.DISCOVERY,
        "A credentials file for NATS, where there is none of those.",
        env=("NATS_AUTH_CREDENTIALS_FILE",),
    )
    pod_name: str | None = setting(
        None,
        words.KUBERNETES_NAME,
        Group.DISCOVERY,
        "On Kubernetes: the pod that this runs in. What is announced goes with it.",
        env=("POD_NAME",),
    )
    pod_uid: str | None = setting(
        None,
        words.KUBERNETES_UID,
        Group.DISCOVERY,
        "On Kubernetes: the pod's UID, to be sure that it is the right one.",
        env=("POD_UID",),
    )
    pod_namespace: str | None = setting(
        None,
        words.KUBERNETES_NAMESPACE,
        Group.DISCOVERY,
        "On Kubernetes: the namespace of the fleet. Without it, the configuration's.",
        env=("POD_NAMESPACE",),
    )
    kubernetes_pods: str | None = setting(
        None,
        words.KUBERNETES_SELECTOR,
        Group.DISCOVERY,
        "On Kubernetes: a label selector of the workers' pods; only these are watched. Without it, "
        "all pods of the namespace are.",
    )
    kubeconfig: str | None = setting(
        None,
        words.FILE,
        Group.DISCOVERY,
        "On Kubernetes: the file that says how to reach it. Without it, the pod's ServiceAccount "
        "does, or `~/.kube/config`.",
        env=("KUBECONFIG",),
    )
    instance_id: int = setting(
        0,
        Whole(0, 2**64 - 1),
        Group.DISCOVERY,
        "The id under which this process is listed, which no other may have. 0: another one at "
        "each start.",
    )
    namespace: str = setting(
        "serinus",
        words.NAMESPACE,
        Group.DISCOVERY,
        "The namespace of a sidecar's engines, where their names have none. Endpoints of the "
        "library have theirs in their addresses.",
        env=("DYN_NAMESPACE",),
    )
    advertised_host: str = setting(
        "auto",
        words.HOST,
        Group.DISCOVERY,
        "The host by which others reach this one. `auto`: the address that is used to reach "
        "others, or loopback where nothing else is listened on.",
    )
    worker_type: Literal["aggregated", "prefill", "decode", "encode"] = setting(
        "aggregated",
        Word("aggregated", "prefill", "decode", "encode"),
        Group.DISCOVERY,
        "Which part of a request this worker does; it is announced.",
    )
    withdraw_not_ready: bool = setting(
        default=True,
        kind=Truth(),
        group=Group.DISCOVERY,
        meaning="Whether an instance that is not ready leaves the list that routers read, and "
        "comes back when it is. Without, it stays there, with its status.",
    )

    # The request plane

    request_plane: Literal["off", "tcp", "http", "both"] = setting(
        "tcp",
        Word("off", "tcp", "http", "both"),
        Group.PLANE,
        "How the endpoints of this process can be called from elsewhere, where discovery is on: "
        "`tcp`, as the reference's are; `http`; `both`. A port that is set turns its own on.",
        env=("DYN_REQUEST_PLANE",),
    )
    tcp_rpc_port: int = setting(
        -1,
        Whole(None, 65535, accepted="a whole number up to 65535: 0 or negative = a free port"),
        Group.PLANE,
        "The port of the request plane over TCP. 0: a free one. Negative: the same, but only where "
        "discovery is on.",
        env=("DYN_TCP_RPC_PORT",),
    )
    http_rpc_port: int = setting(
        -1,
        Whole(None, 65535, accepted="a whole number up to 65535: 0 or negative = a free port"),
        Group.PLANE,
        "The same over HTTP.",
        env=("DYN_HTTP_RPC_PORT",),
    )
    rpc_host: str = setting(
        "auto",
        words.HOST,
        Group.PLANE,
        "The address that both listen on. `auto`: loopback where discovery is of this machine "
        "alone (`memory`, `file`) or off, and every address elsewhere.",
        env=("SERINUS_RPC_HOST", "DYN_TCP_RPC_HOST", "DYN_HTTP_RPC_HOST"),
    )
    rpc_concurrency: int = setting(
        1024,
        Whole(1, 1000000),
        Group.PLANE,
        "The most requests in flight at once.",
        env=("SERINUS_RPC_CONCURRENCY", "DYN_TCP_WORKER_POOL_SIZE"),
    )
    rpc_queue: int = setting(
        1024,
        Whole(0, 1000000),
        Group.PLANE,
        "How many more may wait; the rest are refused.",
        env=("SERINUS_RPC_QUEUE", "DYN_TCP_WORK_QUEUE_SIZE"),
    )
    rpc_request_bytes: int = setting(
        33554432,
        Whole(1024, 4294967295),
        Group.PLANE,
        "The most bytes of a request.",
        env=("SERINUS_RPC_REQUEST_BYTES", "DYN_TCP_MAX_MESSAGE_SIZE"),
    )
    overload_status_code: int = setting(
        529,
        Whole(400, 599),
        Group.PLANE,
        "The status code of a request over HTTP that finds no room.",
        env=("DYN_HTTP_OVERLOAD_STATUS_CODE",),
    )

    # Restarts in a fleet

    restart_budget: str = setting(
        "25%",
        words.BUDGET,
        Group.LIVENESS,
        "Where discovery is on, how many instances of a component may be not live at once, at "
        "least 1; the others wait for their turn. 0: as many as want.",
    )
    restart_wait: float = setting(
        600.0,
        MOMENT,
        Group.LIVENESS,
        "The longest that one turn takes, and that a cause which all instances share keeps them "
        "all live.",
    )
