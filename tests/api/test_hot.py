"""The hot paths give what the framework's own operations give, byte for byte, or leave the request to them (06.3)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.auth import demo_token
from api.hot import ANSWER_BYTES, Hot
from tests.support.api import (
    DORMANT,
    EMPTY,
    EXACT,
    GONE,
    ONE_MORE,
    READER,
    SUGGESTED,
    UNKNOWN,
    frames,
    published,
)
from tests.support.serving import AS_OF, small_generation

PAGES = (
    "/v2/me/feed",
    "/v2/me/feed?mode=chronological",
    "/v2/me/feed?limit=20&mode=ranked",
    "/v2/me/recommendations/friends",
    "/v2/me/digests?limit=20",
    "/v2/me/entitlements",
)
OTHERS = ("/v2/me/feed?limit=7", "/v2/me/usage", "/v2/users/1/feed", "/v2/me/feed?x=1", "/v2/me/nothing", "/livez")
CHANGING = {"ratelimit", "trace_id", "x-request-id"}


class Counting:
    """The app behind the hot paths, counting what reaches it."""

    def __init__(self, app):
        self.app, self.state, self.seen = app, app.state, 0

    async def __call__(self, scope, receive, send):
        self.seen += 1
        await self.app(scope, receive, send)


@contextlib.contextmanager
def asking(api):
    """Asks the reference and the hot paths the same; tells whether the latter answered by themselves."""
    behind = Counting(api.app)
    loop = asyncio.new_event_loop()
    reference, hot = (
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers={"accept-encoding": ""})
        for app in (api.app, Hot(behind))
    )

    def ask(path, headers, method="GET"):
        expected = loop.run_until_complete(reference.request(method, path, headers=headers))
        behind.seen = 0
        found = loop.run_until_complete(hot.request(method, path, headers=headers))
        return expected, found, behind.seen == 0

    yield ask
    for client in (reference, hot):
        loop.run_until_complete(client.aclose())
    loop.close()


@pytest.fixture(scope="module")
def both(api):
    with asking(api) as ask:
        yield ask


def said(response):
    """Everything a client sees, without what changes from request to request."""
    headers = {name: value for name, value in response.headers.items() if name not in CHANGING}
    is_problem = response.content and response.headers.get("content-type") == "application/problem+json"
    body = {k: v for k, v in response.json().items() if k not in CHANGING} if is_problem else response.content
    return response.status_code, headers, body


@pytest.mark.parametrize("encoding", [None, "zstd", "gzip, br", "identity", "*"])
@pytest.mark.parametrize("path", PAGES)
def test_a_stored_page_is_the_same_from_both(api, both, path, encoding):
    headers = {"authorization": f"Bearer {api.token(READER)}"} | ({"accept-encoding": encoding} if encoding else {})
    expected, found, by_itself = both(path, headers)
    assert said(found) == said(expected)
    assert found.status_code == 200
    assert by_itself


@pytest.mark.parametrize("path", PAGES)
def test_an_unchanged_page_is_a_304_from_both(api, both, path):
    headers = {"authorization": f"Bearer {api.token(READER)}"}
    etag = both(path, headers)[1].headers["etag"]
    expected, found, by_itself = both(path, headers | {"if-none-match": f'"other", {etag}'})
    assert said(found) == said(expected)
    assert (found.status_code, by_itself) == (304, True)


tokens = st.sampled_from(
    [READER, EXACT, SUGGESTED, EMPTY, DORMANT, GONE, UNKNOWN, "service", "narrow", "old", "bad", ""]
)
headers_sent = st.fixed_dictionaries(
    {},
    optional={
        "accept": st.sampled_from(
            ["*/*", "application/json", "text/html", "application/json;q=0", "", "a/b, */*;q=0.1"]
        ),
        "accept-encoding": st.sampled_from(["", "zstd", "gzip", "gzip;q=0, zstd;q=0.1", "identity, zstd;q=0.5", "br"]),
        "if-none-match": st.sampled_from(["*", '"x"', 'W/"0000000000000000"', "", ","]),
        "origin": st.just("https://app.example"),
        "traceparent": st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        "x-long": st.sampled_from(["a", "a" * 16_300]),
        "x-request-id": st.sampled_from(["01JD3Z5K8Q4V9W2X7Y6T1R0PAS", "a" * 16_300]),
        "content-length": st.just("0"),
    },
)


@pytest.fixture(scope="module")
def bearers(api):
    """Tokens that are asked with again and again, as clients do: what was answered before is then at hand."""
    made = {who: api.token(who) for who in (READER, EXACT, SUGGESTED, EMPTY, DORMANT, GONE, UNKNOWN)}
    narrow = api.token(READER, scopes={"digests:read"})
    old = demo_token(api.settings, READER, ttl_seconds=-1)
    return made | {"service": api.token("feeder", role="service"), "narrow": narrow, "old": old, "bad": "a.b.c"}


@given(
    path=st.sampled_from(PAGES + OTHERS),
    who=tokens,
    sent=headers_sent,
    method=st.sampled_from(["GET", "GET", "HEAD", "POST"]),
)
def test_no_request_is_answered_differently(both, bearers, path, who, sent, method):
    authorization = {"authorization": f"Bearer {bearers[who]}"} if who != "" else {}
    expected, found, _ = both(path, authorization | sent, method)
    assert said(found) == said(expected)


def test_two_authorization_headers_are_refused_by_both(api, both):
    token = api.token(READER)
    expected, found, _ = both(PAGES[0], [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")])
    assert said(found) == said(expected)
    assert found.status_code == 401


def test_a_hot_page_counts_against_the_same_limit_as_any_other(api, both):
    headers = {"authorization": f"Bearer {api.token(EXACT)}"}
    first, second, _ = both(PAGES[0], headers)
    left = [int(r.headers["ratelimit"].split("r=")[1].split(";")[0]) for r in (first, second)]
    assert left[0] - 1 <= left[1] <= left[0]
    assert second.headers["ratelimit-policy"] == '"user";q=600;w=60'


def test_a_hot_page_is_counted_by_route_and_status(api, both):
    def counted():
        text = api.get("/metrics").text
        line = 'flowforge_http_request_seconds_count{route="/v2/me/entitlements",status="200"} '
        return next((float(each.removeprefix(line)) for each in text.splitlines() if each.startswith(line)), 0.0)

    before = counted()
    both("/v2/me/entitlements", {"authorization": f"Bearer {api.token(READER)}"})
    assert counted() == before + 2


def test_the_clock_of_a_token_holds_for_hot_pages_too(api, both):
    token = demo_token(api.settings, READER, ttl_seconds=4)
    assert both(PAGES[0], {"authorization": f"Bearer {token}"})[1].status_code == 200
    time.sleep(4.1)
    assert both(PAGES[0], {"authorization": f"Bearer {token}"})[1].status_code == 401


def test_what_a_request_is_answered_is_not_given_to_another_one(api, both):
    bearer = f"Bearer {api.token(READER)}"
    sent = [("authorization", bearer), ("accept-encoding", "zstd")]
    etag = both(PAGES[0], sent)[1].headers["etag"]
    for others in (
        [("authorization", bearer), ("accept-encoding", "gzip")],
        [*sent, ("if-none-match", etag)],
        [*sent, ("if-none-match", '"x"')],
        [*sent, ("accept", "text/html")],
        [*sent, ("x-request-id", "a" * 16_300)],
        [*sent, ("authorization", bearer)],
        [*sent, ("x-request-id", "01JD3Z5K8Q4V9W2X7Y6T1R0PAS"), ("x-request-id", "01JD3Z5K8Q4V9W2X7Y6T1R0PAS")],
    ):
        assert both(PAGES[0], sent)[1].status_code == 200
        expected, found, _ = both(PAGES[0], others)
        assert said(found) == said(expected)


def test_ids_of_a_request_are_its_own_though_the_answer_was_given_before(api, both):
    sent = {"authorization": f"Bearer {api.token(READER)}"}
    given_ids = ("01JD3Z5K8Q4V9W2X7Y6T1R0PAS", "01JD3Z5K8Q4V9W2X7Y6T1R0PAT")
    found = [both(PAGES[0], sent | {"x-request-id": each})[1] for each in given_ids]
    assert tuple(each.headers["x-request-id"] for each in found) == given_ids
    trace = "0af7651916cd43dd8448eb211c80319c"
    _, found, by_itself = both(PAGES[0], sent | {"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert (found.headers["x-request-id"], by_itself) == (trace, True)


def test_another_generation_or_other_keys_are_answered_from_at_once(tmp_path, monkeypatch):
    with published(tmp_path) as api, asking(api) as ask:
        sent = {"authorization": f"Bearer {api.token(READER)}"}
        first = ask(PAGES[0], sent)[1]
        small_generation(tmp_path, AS_OF + timedelta(hours=1), frames=frames())
        api.refresh()
        expected, found, by_itself = ask(PAGES[0], sent)
        assert said(found) == said(expected)
        assert by_itself
        assert found.headers["x-data-generation"] != first.headers["x-data-generation"]
        keys = api.app.state.runtime.keys
        monkeypatch.setattr(keys, "find", lambda _kid: None)
        keys.generation += 1
        assert ask(PAGES[0], sent)[1].status_code == 401


@pytest.mark.parametrize(
    ("encoding", "more", "kept"), [("zstd", 0, 3), ("zstd", 2 * ANSWER_BYTES, 1), ("identity", 0, 1)]
)
def test_no_more_answers_are_remembered_than_there_is_room_for(api, monkeypatch, encoding, more, kept):
    page = len(api.get(PAGES[0], READER).content)
    assert page > 4 * ANSWER_BYTES
    headers = 600  # at most, where nothing more is sent
    room = 3 * (ANSWER_BYTES + headers) if encoding == "zstd" else page + 2 * ANSWER_BYTES
    monkeypatch.setattr("api.hot.MAX_BYTES_REMEMBERED", room)
    hot = Hot(api.app)

    async def ask(user):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(hot), base_url="http://api") as client:
            headers = {"authorization": f"Bearer {api.token(user)}", "accept-encoding": encoding, "x-more": "a" * more}
            assert (await client.get(PAGES[0], headers=headers)).status_code == 200

    most = 0
    for user in (EXACT, SUGGESTED, EMPTY, ONE_MORE, READER):
        asyncio.run(ask(user))
        most = max(most, sum(len(stored.answers) for stored in set(hot._stored.values())))
    assert most >= kept
    asyncio.run(ask(READER))
    assert sum(len(stored.answers) for stored in set(hot._stored.values())) <= kept
