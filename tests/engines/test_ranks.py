"""Engines whose pages tell data-parallel ranks apart, and how a canary is directed to one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serinus.engines import ENGINES, Counters, engine_named
from serinus.engines.capabilities import DirectsToRanks, TellsRanks
from serinus.engines.exposition import read_page
from serinus.sim.options import SimOptions
from serinus.sim.vllm import Vllm

RECORDED = Path(__file__).parent.parent / "sim" / "fixtures" / "vllm-0.32-ranks"


def told(page: str, engine: str) -> dict[int, Counters]:
    """What a page says of each rank."""
    kind = engine_named(engine)
    assert isinstance(kind, TellsRanks)
    return dict(kind.rank_counters(read_page(page.encode())))


def test_a_real_vllms_page_tells_its_two_ranks_apart() -> None:
    """Of six requests of three tokens two went to rank 0."""
    before = told((RECORDED / "metrics-idle.txt").read_text(), "vllm")
    after = told((RECORDED / "metrics-after.txt").read_text(), "vllm")
    assert list(before) == list(after) == [0, 1]
    assert [after[rank].tokens for rank in after] == [6, 11]
    assert all(before[rank].tokens == 0 for rank in before)
    assert all(after[rank].pending == 0 for rank in after)
    assert all((after[rank].finished or 0) >= 2 for rank in after)


def test_the_simulated_vllm_has_the_samples_of_the_real_one() -> None:
    """Name for name, with the same labels."""
    real = read_page((RECORDED / "metrics-after.txt").read_bytes())
    simulated = read_page(Vllm(SimOptions(ranks=2)).metrics().encode())
    for name, samples in real.items():
        labels = {tuple(sorted(one.items())) for one, _ in samples}
        assert labels <= {tuple(sorted(one.items())) for one, _ in simulated[name]}, name


def test_sglangs_page_tells_its_ranks_by_dp_rank() -> None:
    """Processes of one rank that share requests count once; ends are no rank's."""
    page = "".join(
        f'sglang:{name}{{dp_rank="{dp}",tp_rank="{tp}"}} {value}\n'
        for name, value in (("num_running_reqs", 2), ("realtime_tokens_total", 7))
        for dp in (0, 1)
        for tp in (0, 1)
    )
    page += 'sglang:e2e_request_latency_seconds_count{model_name="tiny"} 5\n'
    assert told(page, "sglang") == dict.fromkeys((0, 1), Counters(running=2, tokens=7))


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_page_without_ranks_has_at_most_one(engine: str) -> None:
    """The recorded pages of servers without them."""
    folder = {"vllm": "sim/fixtures/vllm-0.32", "sglang": "engines/fixtures/sglang-0.5.23"}
    page = RECORDED.parents[2] / folder[engine] / "metrics-busy.txt"
    assert len(told(page.read_text(), engine)) <= 1


def test_vllm_is_told_a_rank_by_a_header() -> None:
    """The question is the same otherwise."""
    kind = engine_named("vllm")
    assert isinstance(kind, DirectsToRanks)
    plain = kind.canary("tiny")
    directed = kind.directed(plain, 3)
    assert dict(directed.headers) == {**dict(plain.headers), "x-data-parallel-rank": "3"}
    assert directed.body == plain.body


def test_sglang_is_told_a_rank_by_a_field_on_both_of_its_routes() -> None:
    """`routed_dp_rank`, of 0.5.23; a header would do for one of them alone."""
    kind = engine_named("sglang")
    assert isinstance(kind, DirectsToRanks)
    for question in kind.alternatives("tiny"):
        body = json.loads(kind.directed(question, 3).body)
        assert body == {**json.loads(question.body), "routed_dp_rank": 3}


def test_who_directs_also_tells() -> None:
    """A directed canary is believed only where its token can be seen."""
    for engine in ENGINES:
        assert isinstance(engine, DirectsToRanks) <= isinstance(engine, TellsRanks)
