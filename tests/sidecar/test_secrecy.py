"""The API key goes to the engine, and nowhere else."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from aiohttp import web

from serinus.core.report import as_json
from serinus.core.status import Reason
from serinus.errors import SettingsError
from serinus.settings import Settings
from serinus.sidecar.credentials import Credentials
from tests.sidecar.rig import NOTICED, ScriptedEngine, over, scripted

pytestmark = pytest.mark.real_time

KEY = "sk-canary-7f3a9b2c"


def guarded(engine: ScriptedEngine, key: str) -> None:
    """Let the engine answer those alone who have this key; it repeats a wrong one, as some do."""
    token = engine.token()

    async def answer(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("authorization", "")
        if given != f"Bearer {key}":
            return await engine.error(401, f"Incorrect API key provided: {given}")(request)
        return await token(request)

    engine.answers["/v1/completions"] = answer


async def test_the_key_is_sent_with_every_request_and_shown_to_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Logs, report, metrics, notes and representations are searched for it, refusals included."""
    caplog.set_level(logging.DEBUG)
    engine = ScriptedEngine()
    guarded(engine, KEY)
    shown: list[str] = []
    async with scripted(engine) as url, over(url, api_key=KEY) as rig:
        await rig.until_ready()
        assert set(engine.keys) == {f"Bearer {KEY}"}
        guarded(engine, "another")
        await rig.until(lambda: not rig.ready, seconds=NOTICED, what="not ready")
        assert rig.reason() is Reason.CANARY_ERROR
        assert "refused by authorization (HTTP 401)" in str(rig.standing().fault)
        sidecar = rig.sidecar
        shown += [
            json.dumps(as_json(rig.report, wall=str)),
            sidecar.runtime.metrics().decode(),
            str(rig.watch.notes()),
            *map(repr, (sidecar.runtime.settings, sidecar.targets, rig.standing())),
            *(repr(value) for value in vars(rig.watch).values()),
            *(repr(value) for value in vars(sidecar).values()),
        ]
    shown += caplog.messages
    assert not [text for text in shown if KEY in text]


async def test_a_key_file_is_read_again_when_the_key_is_refused(tmp_path: Path) -> None:
    """Keys rotate while a sidecar runs; a fleet must not turn not ready for that."""
    file = tmp_path / "key"
    file.write_text("old-key\n")
    engine = ScriptedEngine()
    guarded(engine, "old-key")
    async with scripted(engine) as url, over(url, api_key_file=str(file)) as rig:
        await rig.until_ready()
        file.write_text("new-key\n")
        guarded(engine, "new-key")
        await rig.until(lambda: "Bearer new-key" in engine.keys, seconds=3, what="the new key")
        assert rig.ready
        assert rig.standing().failures == 0


def test_a_key_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    """And is named; what is in it is not."""
    missing = tmp_path / "missing"
    with pytest.raises(SettingsError, match="api_key_file") as raised:
        Credentials(Settings(api_key_file=str(missing)))
    assert str(missing) in str(raised.value)


def test_a_key_file_that_is_gone_later_keeps_the_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Better the key that it has than none."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    credentials = Credentials(Settings(api_key_file=str(file)))
    file.unlink()
    assert credentials.renew() is False
    assert credentials.key() == KEY
    assert "cannot be read again" in caplog.text
    assert KEY not in caplog.text + repr(credentials)
