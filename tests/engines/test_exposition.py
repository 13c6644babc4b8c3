from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.engines.exposition import read_page
from serinus.errors import EngineError

WITHOUT_THE_PARSER = """
import sys
sys.modules["prometheus_client"] = None
import serinus.engines
from serinus.errors import MissingExtraError
try:
    import serinus.engines.exposition
except MissingExtraError as error:
    print(error)
"""


def test_samples_come_with_their_labels() -> None:
    """Counters, gauges and histograms, by the names that stand on the page."""
    page = (
        b"# HELP t Tokens.\n# TYPE t counter\n"
        b't_total{engine="0",model_name="a\\"b"} 5.0\nt_created{engine="0"} 1.7e9\n'
        b'# TYPE h histogram\nh_bucket{le="+Inf"} 3\nh_count 3\nh_sum 1.5\n'
        b"bare NaN\n"
    )
    samples = read_page(page)
    assert samples["t_total"] == [({"engine": "0", "model_name": 'a"b'}, 5.0)]
    assert samples["h_count"] == [({}, 3.0)]
    assert str(samples["bare"][0][1]) == "nan"


def test_only_the_lines_that_are_asked_for_are_parsed() -> None:
    """A line that nobody reads cannot spoil the page."""
    page = b"# TYPE a gauge\na 1\nb{ 2\na_more 3\n"
    assert read_page(page, names={"a"}) == {"a": [({}, 1.0)], "a_more": [({}, 3.0)]}
    with pytest.raises(EngineError):
        read_page(page)


@pytest.mark.parametrize("page", [b"", b"\n", b'{"iteration": 1}', b"<html></html>"])
def test_a_page_of_something_else_has_none_of_the_samples(page: bytes) -> None:
    """All numbers unknown, which is what is known."""
    assert read_page(page, names={"vllm:generation_tokens_total"}) == {}


@pytest.mark.parametrize(
    ("page", "detail"),
    [
        (b"a{ 1\n", "the metrics page cannot be parsed"),
        (b"a one\n", "the metrics page cannot be parsed"),
        (b"\xff\n", "the metrics page is not UTF-8 text"),
        (b"a 1\n" * 30, "the metrics page has 120 bytes; accepted: up to 100"),
    ],
)
def test_a_bad_page_is_an_error_of_the_engine(page: bytes, detail: str) -> None:
    """The caller makes "unknown" of it, never "idle"."""
    with pytest.raises(EngineError, match=detail):
        read_page(page, limit=100)


tokens = st.sampled_from(
    [b"a", b"{", b"}", b'"', b"=", b",", b" ", b"\n", b"1", b"#", b"\\", b"{}"]
)


@given(st.binary(max_size=100) | st.lists(tokens, max_size=30).map(b"".join))
def test_any_bytes_are_samples_or_an_error_of_the_engine(page: bytes) -> None:
    """No page brings another error."""
    try:
        samples = read_page(page)
    except EngineError:
        return
    assert all(isinstance(value, float) for rows in samples.values() for _, value in rows)


@pytest.mark.real_time
def test_without_the_parser_the_extra_is_named() -> None:
    """The engines can be imported; only reading a page needs the extra, and says which."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_PARSER], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        'Reading an engine\'s metrics needs an extra: pip install "serinus[sidecar]"\n'
    )
