"""Tokens cannot be tried without end: page and metrics, with real requests; and the counting itself."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from typing import Any

import pytest
from tests.edge.web_page import Page, Pipeline

from fer_edge.outputs.prometheus import MetricsServer
from fer_edge.outputs.status import StatusBoard
from fer_edge.outputs.token_guesses import MAX_ADDRESSES, SECONDS_EACH, WRONG_TOKENS, GuessLimit


@pytest.fixture
def page() -> Iterator[Page]:
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    served = Page(token="s3cret-token")
    yield served
    served.sink.close()


def test_the_page_stops_listening_to_guesses(page: Page) -> None:
    for number in range(WRONG_TOKENS):
        assert page.get(f"/api/faces?token=guess{number}")[0] == 401
    status, headers, body = page.get("/api/faces", Authorization="Bearer s3cret-token")
    assert status == 429  # the right one is not looked at either: else waiting would not matter
    assert 1 <= int(headers["retry-after"]) <= SECONDS_EACH
    assert headers["x-content-type-options"] == "nosniff"
    assert b"too many wrong tokens" in body
    assert page.get("/api/faces")[0] == 401  # no token is no guess
    assert page.get("/healthz")[0] in (200, 503)


def test_an_old_token_locks_nobody_out(page: Page) -> None:
    for _ in range(3 * WRONG_TOKENS):
        assert page.get("/api/faces", Cookie="fer_token=of-last-week")[0] == 401
    assert page.get("/api/faces", Authorization="Bearer s3cret-token")[0] == 200


def test_metrics_stop_listening_to_guesses() -> None:
    pipeline: Any = Pipeline()
    server = MetricsServer(("127.0.0.1", 0), StatusBoard(pipeline), "s3cret-token")

    def ask(token: str) -> int:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)) as connection:
            connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status

    try:
        assert ask("s3cret-token") == 200
        assert [ask(f"guess{number}") for number in range(WRONG_TOKENS)] == [401] * WRONG_TOKENS
        assert ask("s3cret-token") == 429
    finally:
        server.close()


def test_one_more_guess_every_few_seconds() -> None:
    now = 100.0
    limit = GuessLimit(lambda: now)
    for number in range(WRONG_TOKENS):
        assert limit.wait_s("192.0.2.1") == 0
        limit.wrong("192.0.2.1", f"guess{number}")
    assert limit.wait_s("192.0.2.1") == SECONDS_EACH
    assert limit.wait_s("192.0.2.2") == 0
    now += SECONDS_EACH - 1.0
    assert limit.wait_s("192.0.2.1") == 1
    now += 1.0
    assert limit.wait_s("192.0.2.1") == 0
    limit.wrong("192.0.2.1", "another")
    assert limit.wait_s("192.0.2.1") == SECONDS_EACH
    now += 1e6  # no more than the first ones come back
    for number in range(WRONG_TOKENS):
        limit.wrong("192.0.2.1", f"later{number}")
    assert limit.wait_s("192.0.2.1") == SECONDS_EACH


def test_addresses_of_one_household_count_together_and_their_number_is_bounded() -> None:
    now = 0.0
    limit = GuessLimit(lambda: now)
    for number in range(WRONG_TOKENS):
        limit.wrong(f"2001:db8::{number}", f"guess{number}")
    assert limit.wait_s("2001:db8::ffff") > 0
    assert limit.wait_s("2001:db8:0:1::1") == 0
    for number in range(2 * MAX_ADDRESSES):
        limit.wrong(f"10.0.{number // 256}.{number % 256}", "guess")
    assert len(limit._visitors) == MAX_ADDRESSES
