"""The page for people: served to anyone, with nothing of the worker in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from serinus.status import SystemStatusServer
from serinus.status.dashboard import PATH, dashboard
from serinus.status.process.plan import HEALTH, Routes
from serinus.status.process.wire import parse_head
from tests.status.probe import Client, get

Serve = Callable[..., SystemStatusServer]

pytestmark = pytest.mark.end_to_end


def test_it_is_a_page_that_may_reach_nothing_but_its_own_port(serve: Serve) -> None:
    """Scripts from elsewhere and frames are refused by the browser."""
    server = serve()
    with Client(server.address) as client:
        page = client.ask("GET", PATH)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert page.body == dashboard("/health")
    assert b"--good-wash: #e2f2e8;" in page.body, "its style is in it"
    assert b".css" not in page.body


def test_it_asks_where_readiness_is(serve: Serve) -> None:
    """A port with another path has a page that asks there."""
    page = get(serve(health_path="/ready").address, PATH).body
    assert b'const HEALTH = "/ready";' in page
    assert b'"/health"' not in page


def test_where_nobody_may_see_details_there_is_no_page(serve: Serve) -> None:
    """It would have nothing to show."""
    assert get(serve(details="off").address, PATH).status == 404


def test_a_path_of_the_users_own_wins() -> None:
    """Whoever calls readiness /dashboard gets readiness there."""
    routes = Routes(health=b"/dashboard", live=b"/live", dashboard=True)
    request = parse_head(b"GET /dashboard HTTP/1.1")
    assert routes.settle(request, other="other").route == HEALTH
