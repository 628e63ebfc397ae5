"""What holds for every request: bounds, methods, traces, and problems for everything that goes wrong (06.2, 06.4)."""

import asyncio
import logging
import re
from pathlib import Path

import pytest

from api.edge import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_URL_BYTES, Edge
from api.logs import trace_id
from store.settings import ApiSettings, Settings
from tests.support.api import READER, UNKNOWN, assert_shape, frames, running
from tests.support.serving import small_generation

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDES = "".join((DOCS / name).read_text() for name in ("api.md", "client-guide.md", "mobile.md"))
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def problem(response):
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert len(body["trace_id"]) == 32
    return body


@pytest.mark.parametrize(
    "path", ["/", "/v2", "/v2/me", "/v2/me/feed/", "/v3/me/feed", "/redoc", "/docs/assets/x", "/%00"]
)
def test_an_unknown_path_is_a_problem(api, path):
    response = api.get(path, READER)
    assert (response.status_code, problem(response)["type"].rpartition("/")[2]) == (404, "not-found")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/v2/me/feed", "/v1/feed", "/livez", "/docs", "/openapi.json"])
def test_another_method_is_refused_naming_those_there_are(api, method, path):
    response = api.request(method, path, token=api.token(READER))
    assert (response.status_code, problem(response)["type"]) == (405, "about:blank")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


def test_options_says_what_is_possible(api):
    response = api.request("OPTIONS", "/v2/me/feed")
    assert (response.status_code, response.headers["allow"], response.content) == (204, "GET, HEAD, OPTIONS", b"")
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("foo=1", "foo"), ("Mode=ranked", "Mode"), ("limit=1&limit=2", "limit"), ("mode=best", "mode"),
     ("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("limit=", "limit"), ("limit=1e1", "limit"),
     ("mode=", "mode"),
     ("_=1", "_"), ("%F0%9F%90%88=1", "🐈")],
)  # fmt: skip
def test_a_parameter_that_is_not_valid_is_pointed_at(api, query, pointer):
    response = api.get(f"/v2/me/feed?{query}", READER)
    body = problem(response)
    assert (response.status_code, body["type"].rpartition("/")[2]) == (422, "invalid-parameter")
    assert [error["pointer"] for error in body["errors"]] == [f"#/query/{pointer}"]


@pytest.mark.parametrize(
    ("path", "detail"),
    [("feed?limit=x", "limit: 'x' is not accepted: write a whole number from 1 to 100"),
     ("recommendations/friends?limit=51", "limit: '51' is not accepted: write a whole number from 1 to 50"),
     ("feed?mode=best", "mode: 'best' is not accepted: write ranked or chronological"),
     ("digests?kind=", "kind: '' is not accepted: write daily, weekdays, weekly, or leave it out"),
     ("usage?from=22.11.2026", "from: '22.11.2026' is not accepted: write a date as YYYY-MM-DD"),
     ("usage?to=2026-02-30",
      "to: '2026-02-30' is not accepted: no such date in the calendar; write one as YYYY-MM-DD"),
     (f"usage?meter={'m' * 101}", f"meter: '{'m' * 40}'… is not accepted: write a meter's key, at most 100 characters"),
     ("usage?from=2026-11-22&to=2026-11-21",
      "from: 2026-11-22 is not before to (2026-11-21, exclusive): choose an earlier day"),
     ("usage?from=2026-01-01&to=2026-11-21",
      "from: 2026-01-01 is 324 days before to (2026-11-21): ask for 90 days at most at a time"),
     ("feed?limit=%00%0a", "limit: '\\x00\\n' is not accepted: write a whole number from 1 to 100")],
)  # fmt: skip
def test_what_is_wrong_is_told_by_name_with_what_was_given_and_what_is_accepted(api, path, detail):
    assert problem(api.get(f"/v2/me/{path}", READER))["detail"] == detail


@pytest.mark.parametrize("user_id", ["abc", "-1", "1" * 20])
def test_a_malformed_user_id_is_told_in_the_same_words(api, user_id):
    told = problem(api.request("GET", f"/v2/users/{user_id}/feed", token=api.token("mailer", "service")))
    assert told["detail"] == f"user_id: '{user_id}' is not accepted: write a user's id, 1 to 19 digits"
    assert [error["pointer"] for error in told["errors"]] == ["#/path/user_id"]


@pytest.mark.parametrize("path", ["/v2/me/entitlements", "/v2/me/entitlements/posts", "/v1/digests", "/v2/me/digests"])
def test_a_path_without_that_parameter_refuses_it(api, path):
    assert api.get(f"{path}?page=1", READER).status_code == 422


def test_every_bad_parameter_is_named(api):
    errors = problem(api.get("/v2/me/feed?limit=0&mode=x&foo=1", READER))["errors"]
    assert {e["pointer"] for e in errors} == {"#/query/limit", "#/query/mode", "#/query/foo"}
    assert all(e["detail"] for e in errors)


def test_a_long_url_is_refused_and_one_at_the_bound_is_not(api):
    for length, status in ((MAX_URL_BYTES, 422), (MAX_URL_BYTES + 1, 414)):
        path = "/v2/me/feed?a="
        response = api.get(path + "b" * (length - len(path)), READER)
        assert response.status_code == status
        told = problem(response)
    assert (told["type"], told["title"]) == ("about:blank", "URI Too Long")


def test_large_headers_are_refused(api):
    response = api.get("/v2/me/feed", READER, headers={"x-filler": "x" * MAX_HEADER_BYTES})
    assert response.status_code == 431
    assert problem(response)["type"] == "about:blank"


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 10**12])
def test_a_large_body_is_refused_by_its_announcement(api, size):
    response = api.request("POST", "/v2/me/feed", headers={"content-length": str(size)})
    assert response.status_code == 413
    assert (problem(response)["type"], problem(response)["title"]) == ("about:blank", "Content Too Large")


@pytest.mark.parametrize("length", ["-1", "x", "1" * 5000, "²"])
def test_a_body_length_that_is_no_number_is_refused(api, length):
    headers = [(b"content-length", length.encode())]
    response = api.request("POST", "/v2/me/feed", headers=dict(headers))
    assert response.status_code in (413, 431)


def test_the_trace_of_the_caller_is_kept(api):
    header = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    assert problem(api.get("/nope", headers=header))["trace_id"] == TRACE


@pytest.mark.parametrize(
    "header",
    ["", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01",
     f"ff-{TRACE}-00f067aa0ba902b7-01",
     f"00-{TRACE.upper()}-00f067aa0ba902b7-01", f"00-{TRACE}"],
)  # fmt: skip
def test_a_malformed_trace_is_replaced(header):
    assert trace_id(header.encode()) != TRACE
    assert len(trace_id(header.encode())) == 32
    assert trace_id(header.encode()) != trace_id(None)


def through_edge(api, app, body=()):
    """The messages an app sends through the edge for one request with these body parts."""
    sent, parts = [], iter([*body, b""])

    async def receive():
        part = next(parts)
        return {"type": "http.request", "body": part, "more_body": part != b""}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/x", "raw_path": b"/x", "query_string": b"", "headers": []}
    asyncio.run(Edge(app, api.settings)(scope, receive, send))
    return sent


def test_an_error_nobody_handled_is_told_and_logged_under_its_trace(api, caplog):
    async def failing(scope, receive, send):
        raise RuntimeError("secret detail")

    with caplog.at_level(logging.ERROR, "flowforge.api"):
        start, body = through_edge(api, failing)
    assert start["status"] == 500
    assert b'"internal"' in body["body"].replace(b"https://flowforge.example/problems/", b"")
    assert b"secret detail" not in body["body"]
    assert caplog.records[0].args[0].encode() in body["body"]


def test_a_body_that_grows_beyond_the_bound_is_cut_off(api):
    async def reading(scope, receive, send):
        while (await receive())["more_body"]:
            pass

    parts = [b"x" * (MAX_BODY_BYTES // 2)] * 4
    assert through_edge(api, reading, parts)[0]["status"] == 413


def test_the_docs_need_no_other_host(api):
    page = api.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/assets/{asset}" in page
        assert len(api.get(f"/docs/assets/{asset}").content) > 1000


PAGE = "https://app.example"


@pytest.fixture
def open_to_pages(tmp_path):
    """An app that lets the pages of one other origin read it."""
    small_generation(tmp_path, frames=frames())
    with running(Settings(home=tmp_path, env="test", api=ApiSettings(cors_origins=[PAGE]))) as other:
        yield other


def preflight(app, **changed):
    asked = {"origin": PAGE, "access_control_request_method": "GET"} | changed
    return app.request("OPTIONS", "/v2/me/feed", headers={name.replace("_", "-"): each for name, each in asked.items()})


def test_cors_is_off_unless_origins_are_named(api, open_to_pages):
    assert "access-control-allow-origin" not in preflight(api).headers
    assert preflight(open_to_pages).headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [({"origin": "https://evil.example"}, "origin"),
     ({"access_control_request_method": "DELETE"}, "access-control-request-method"),
     ({"access_control_request_headers": "x-other"}, "access-control-request-headers"),
     ({"access_control_request_private_network": "true"}, "access-control-request-private-network")],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_preflight_that_is_refused_is_a_problem_naming_the_header(open_to_pages, changed, pointer):
    response = preflight(open_to_pages, **changed, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    assert_shape("Problem", problem(response))
    assert (response.status_code, problem(response)["type"].rpartition("/")[2]) == (400, "invalid-parameter")
    assert [error["pointer"] for error in problem(response)["errors"]] == [f"#/header/{pointer}"]
    assert (problem(response)["instance"], problem(response)["trace_id"]) == ("/v2/me/feed", TRACE)
    assert ("access-control-allow-origin" in response.headers) == (pointer != "origin")


def test_a_page_of_another_origin_may_read_what_the_edge_refuses(open_to_pages):
    refused = open_to_pages.get("/v2/me/feed?a=" + "b" * MAX_URL_BYTES, READER, headers={"origin": PAGE})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (414, PAGE)


def test_a_page_of_another_origin_may_read_every_header_it_is_told_to(open_to_pages):
    quiet = {"content-type", "content-length", "cache-control", "vary"}  # pages may read these, or need not
    asked = (("/v2/me/feed", READER), ("/v1/feed", READER), ("/v2/me/feed", UNKNOWN), ("/v2/me/feed", None))
    answers = [open_to_pages.get(path, user, headers={"origin": PAGE}) for path, user in asked]
    for answer in answers:
        exposed = set(answer.headers["access-control-expose-headers"].split(", "))
        told = {name for name in answer.headers if not name.startswith("access-control-")}
        assert told - quiet <= exposed
    sent = set().union(*(answer.headers for answer in answers))
    assert exposed <= sent, "nothing is exposed that is never sent"
    named = re.findall(r"`((?:RateLimit|Retry|Sunset|Deprecation|ETag|Link|X-Data|X-Request)[\w-]*)", GUIDES)
    assert {name.lower() for name in named} <= exposed
