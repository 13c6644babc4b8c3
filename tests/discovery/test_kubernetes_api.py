"""Requests to an API server that a test scripts, and configurations that cannot be used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import httpx2
import pytest

from serinus.discovery.kubernetes_api import Api, Refused, paths_of, reach
from serinus.errors import DiscoveryError

NOBODY = Path("/nowhere")


def api_of(answer: Callable[[httpx2.Request], httpx2.Response]) -> Api:
    """Return an API server that answers so."""
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="https://api")
    return Api(client, "the cluster", patience=3.0)


class Pieces(httpx2.AsyncByteStream):
    """A body that arrives in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def event(kind: str, name: str, version: str) -> bytes:
    """Return a line of a watch."""
    item = {"metadata": {"name": name, "resourceVersion": version}}
    return json.dumps({"type": kind, "object": item}, ensure_ascii=False).encode() + b"\n"


async def test_an_answer_that_is_refused_has_the_server_s_words() -> None:
    """What was asked, the status, why; and nothing is asked twice."""
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(422, json={"message": "is\ninvalid"})

    with pytest.raises(Refused, match=r"^the cluster: PUT /a: 422: is invalid$") as error:
        await api_of(answer).call("PUT", "/a", body={})
    assert error.value.status == 422
    assert asked == ["/a"]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b"\xff"])
async def test_an_answer_that_is_no_object_is_the_server_s_fault(body: bytes) -> None:
    """Something else may listen there."""
    with pytest.raises(DiscoveryError, match="the cluster: no JSON"):
        await api_of(lambda _: httpx2.Response(200, content=body)).call("GET", "/a")


async def test_a_server_with_too_much_to_do_is_asked_again_when_it_says() -> None:
    """It did nothing yet; a session that ended for that would only bring more to do."""
    loop = asyncio.get_running_loop()
    answers = [httpx2.Response(429, headers={"Retry-After": "2"}), httpx2.Response(200, json={})]
    began = loop.time()
    assert await api_of(lambda _: answers.pop(0)).call("GET", "/a") == {}
    assert 1 <= loop.time() - began <= 3


async def test_a_server_that_never_finds_the_time_is_given_up() -> None:
    """At some point it is an answer."""
    asked: list[int] = []

    def answer(_: httpx2.Request) -> httpx2.Response:
        asked.append(1)
        return httpx2.Response(429, text="busy")

    with pytest.raises(Refused, match="429: busy"):
        await api_of(answer).call("GET", "/a")
    assert len(asked) == 4


async def test_pages_are_read_to_the_end() -> None:
    """The version is that of the whole listing."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.params["labelSelector"] == "a=b"
        if "continue" not in request.url.params:
            metadata = {"continue": "more", "resourceVersion": "7"}
            return httpx2.Response(200, json={"items": [{"n": 1}], "metadata": metadata})
        assert request.url.params["continue"] == "more"
        return httpx2.Response(200, json={"items": None, "metadata": {"resourceVersion": "7"}})

    assert await api_of(answer).all("/a", "a=b") == ([{"n": 1}], "7")


async def test_a_watch_is_taken_up_where_the_server_ended_it() -> None:
    """After the last version that was heard of, be it a bookmark's."""
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.params["resourceVersion"])
        if len(asked) == 1:
            lines = event("ADDED", "a", "2") + event("BOOKMARK", "", "5")
            return httpx2.Response(200, stream=Pieces(lines[:20], lines[20:]))
        return httpx2.Response(200, stream=Pieces(event("DELETED", "a", "6")))

    seen = []
    async with aclosing(api_of(answer).events("/a", "", "1")) as events:  # type: ignore[type-var]
        async for kind, item in events:
            seen.append((kind, item["metadata"]["name"]))
            if kind == "DELETED":
                break
    assert seen == [("ADDED", "a"), ("DELETED", "a")]
    assert asked == ["1", "5"]


async def test_only_a_newline_ends_an_event() -> None:
    """Text may have what else is called a line's end, such as U+0085, which Go does not escape."""
    line = event("ADDED", "a\x85b\u2028c", "2")
    api = api_of(lambda _: httpx2.Response(200, stream=Pieces(line)))
    async with aclosing(api.events("/a", "", "1")) as events:  # type: ignore[type-var]
        _, item = await anext(events)
    assert item["metadata"]["name"] == "a\x85b\u2028c"


async def test_a_server_that_ends_every_watch_at_once_is_not_pestered() -> None:
    """One try a second."""
    asked: list[float] = []

    def answer(_: httpx2.Request) -> httpx2.Response:
        asked.append(asyncio.get_running_loop().time())
        return httpx2.Response(200, stream=Pieces())

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(api_of(answer).events("/a", "", "1")), 9.5)
    assert len(asked) == 10


async def test_a_watch_waits_for_a_server_with_too_much_to_do() -> None:
    """For some time."""
    busy = httpx2.Response(429, text="busy")
    answers = [busy, busy, httpx2.Response(200, stream=Pieces(event("ADDED", "a", "2")))]
    events = api_of(lambda _: answers.pop(0) if answers else busy).events("/a", "", "1")
    assert (await anext(events))[0] == "ADDED"
    with pytest.raises(Refused, match="429: busy"):
        await anext(events)


@pytest.mark.parametrize(
    ("answer", "told", "status"),
    [
        (
            httpx2.Response(
                200,
                content=b'{"type":"ERROR","object":{"code":410,"message":"too old"}}\n',
            ),
            "the watch ended: too old",
            410,
        ),
        (httpx2.Response(410, json={"message": "Expired"}), "watch /a: 410: Expired", 410),
        (
            httpx2.Response(403, json={"message": "cannot watch"}),
            r"403: cannot watch; the Role that is needed is in docs/discovery-kubernetes\.md",
            403,
        ),
    ],
)
async def test_a_watch_that_fails_says_why(answer: httpx2.Response, told: str, status: int) -> None:
    """Whether changes were missed is told by the status."""
    with pytest.raises(Refused, match=told) as error:
        await anext(api_of(lambda _: answer).events("/a", "", "1"))
    assert error.value.status == status


def groups(**served: list[str]) -> Callable[[httpx2.Request], httpx2.Response]:
    """Answer which versions there are."""
    found = [
        {"name": f"{name}.k8s.io", "versions": [{"version": one} for one in versions]}
        for name, versions in served.items()
    ]
    return lambda _: httpx2.Response(200, json={"groups": found})


@pytest.mark.parametrize(
    ("slices", "path"),
    [
        (["v1", "v1beta1"], "/apis/discovery.k8s.io/v1/namespaces/demo/endpointslices"),
        (["v1beta1"], "/apis/discovery.k8s.io/v1beta1/namespaces/demo/endpointslices"),
        (["v2alpha1"], None),
    ],
)
async def test_the_newest_version_that_is_known_is_used(
    slices: list[str], path: str | None
) -> None:
    """Of EndpointSlices; without them the pod's condition has to do."""
    api = api_of(groups(coordination=["v1"], discovery=slices))
    paths = await paths_of(api, "demo")
    assert paths.slices == path
    assert paths.leases == "/apis/coordination.k8s.io/v1/namespaces/demo/leases"


async def test_a_server_without_leases_is_named() -> None:
    """There is nothing to do without them."""
    with pytest.raises(DiscoveryError, match=r"serves no coordination\.k8s\.io/v1"):
        await paths_of(api_of(groups(discovery=["v1"])), "demo")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, r"kubeconfig\) cannot be used: Configuration file .* not found"),
        ("", "cannot be used"),
        ("[", "cannot be used: while parsing"),
        ("clusters: [{name: a, cluster: 5}]\ncontexts: []\n", "cannot be used: Expected `object`"),
        ("clusters: []\ncontexts: []\n", "cannot be used: No current context"),
        ("clusters: []\ncontexts: []\ncurrent-context: here\n", "Context 'here' not found"),
    ],
    ids=["not there", "empty", "no YAML", "no cluster", "no context", "unknown context"],
)
def test_a_configuration_that_cannot_be_used_is_named(
    text: str | None, told: str, tmp_path: Path
) -> None:
    """With its path."""
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DiscoveryError, match=told) as error:
        reach(str(path), NOBODY)
    assert str(path) in str(error.value)


def test_without_any_configuration_the_places_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where it was looked for."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DiscoveryError, match=r"\(/nowhere or ~/\.kube/config\) cannot be used"):
        reach("", NOBODY)


@pytest.mark.real_time
async def test_a_handshake_that_is_cancelled_leaves_no_connection(tmp_path: Path) -> None:
    """The other side sees it close, and nothing is left to the garbage collector."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            begun.set()
        ended.set()
        writer.close()

    async with await asyncio.start_server(never_answers, "127.0.0.1", 0) as server:
        where = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = {
            "clusters": [{"name": "c", "cluster": {"server": where}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "current-context": "c",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        client = reach(str(tmp_path / "kubeconfig"), NOBODY).client
        asking = asyncio.create_task(client.get("/"), name="asking")
        async with asyncio.timeout(20):
            await begun.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await ended.wait()
        await client.aclose()
