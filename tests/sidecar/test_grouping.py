"""Engines that serve together: what `--group` says, and what becomes of it."""

from __future__ import annotations

import json

import pytest

from serinus.core.status import Reason
from serinus.errors import SettingsError
from serinus.settings import Settings
from serinus.sidecar.grouping import prepared, read_groups
from serinus.sidecar.sidecar import Sidecar
from serinus.sidecar.targets import read_targets
from serinus.sim.engine import Pace
from serinus.sim.faults import parse_plan
from serinus.sim.options import SimOptions
from serinus.sim.server import Simulator
from tests.sidecar.rig import NOTICED, QUICK, Rig

TARGETS = read_targets(named=["p=http://a:1", "d=http://b:1", "e=http://c:1"])


def read(*texts: str, policy: str = "all") -> list[str]:
    """Read groups, and say what came of it in a line each."""
    return [
        f"{one.group.address} {one.group.kind} {one.group.policy}: "
        + " ".join(f"{place.name}{f':{place.role}' if place.role else ''}" for place in one.members)
        for one in read_groups(texts, TARGETS, policy=policy)
    ]


def test_a_group_has_the_targets_that_are_named_and_its_kind_by_their_roles() -> None:
    """Names or whole addresses; roles make a pair."""
    assert read("both=p,d", policy="any") == ["serinus.both.generate data-parallel any: p d"]
    assert read("pd=p:prefill, d:decode, e:decode") == [
        "serinus.pd.generate prefill-decode all: p:prefill d:decode e:decode"
    ]
    assert read("n.c.x:sharded=serinus.p.generate,d", policy="any") == [
        "n.c.x sharded all: serinus.p.generate d"
    ]


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["p,d"], r"--group: 'p,d' is not accepted; accepted: NAME=TARGET"),
        (["x="], "is not accepted"),
        (["x:ring=p,d"], "is not accepted"),
        (["x=p,q"], "no target is called 'q'; accepted: p, d, e"),
        (["x=p:prefil,d:decode"], "the role 'prefil' of p is not accepted; accepted: prefill or"),
        (["x=p:prefill,e:prefill"], "no member has the role decode"),
        (["x=p:prefill,d"], "members with a role and without"),
        (["x:sharded=p:prefill,d:decode"], "or a kind beside roles"),
        (["x=p,d", "y=d,e"], "d is in two groups"),
        (["x=p,d", "x=e"], "serinus.x.generate is taken"),
        (["p=p,d"], "serinus.p.generate is taken"),
        (["a b=p,d"], "the name 'a b' is not accepted"),
    ],
)
def test_what_cannot_be_read_says_what_is_accepted(texts: list[str], told: str) -> None:
    """The text, and the forms."""
    with pytest.raises(SettingsError, match=told):
        read(*texts)


def test_a_sglang_of_a_pair_is_asked_in_the_way_that_needs_no_peer() -> None:
    """As its own health check is; others are asked as ever."""
    targets = read_targets(named=["p=http://a:1", "d=http://b:1"], engine="sglang")
    groups = read_groups(["pd=p:prefill,d:decode"], targets, policy="all")
    for target in prepared(targets, groups):
        for question in target.engine.alternatives("tiny"):
            body = json.loads(question.body)
            assert (body["bootstrap_host"], body["bootstrap_room"]) == ("2.2.2.2", 0)
    assert prepared(targets, ()) == targets


@pytest.mark.real_time
async def test_a_pair_is_ready_with_both_of_its_sides_and_the_missing_one_is_named() -> None:
    """One server of each."""
    pace = Pace(step_seconds=0.01)
    options = SimOptions(port=0, pace=pace)
    async with Simulator(options) as prefill, Simulator(options) as decode:
        targets = read_targets(named=[f"p={prefill.url}", f"d={decode.url}"])
        groups = read_groups(["pair=p:prefill,d:decode"], targets, policy="any")
        settings = Settings(**QUICK)
        async with Sidecar(settings, targets, groups=groups, handle_signals=False) as sidecar:
            rig = Rig(sidecar)
            await rig.until_ready()
            (pair,) = rig.report.groups
            assert pair.why() == "1 of 1 prefill ready, 1 of 1 decode ready"
            decode.board.add(parse_plan("hang").window(0.0))
            await rig.until(lambda: not rig.ready, seconds=NOTICED, what="not ready")
            (pair,) = rig.report.groups
            assert pair.lacking == ("decode",)
            assert pair.why() == "1 of 1 prefill ready, 0 of 1 decode ready; d: canary_timeout"
            assert rig.reason(0) is Reason.CANARY
            decode.board.clear()
            await rig.until_ready()


@pytest.mark.real_time
async def test_ranks_of_a_member_are_left_together() -> None:
    """Groups of groups are more than anybody could read; the notes say so."""
    options = SimOptions(port=0, pace=Pace(step_seconds=0.01), ranks=2)
    async with Simulator(options) as one, Simulator(options) as other:
        targets = read_targets(named=[f"a={one.url}", f"b={other.url}"])
        groups = read_groups(["all=a,b"], targets, policy="any")
        async with Sidecar(
            Settings(**QUICK), targets, groups=groups, handle_signals=False
        ) as sidecar:
            rig = Rig(sidecar)
            await rig.until_ready()
            assert [group.why() for group in rig.report.groups] == ["2 of 2 members ready"]
            assert rig.watch.notes()["ranks"] == (
                "left together, as a member of serinus.all.generate"
            )
