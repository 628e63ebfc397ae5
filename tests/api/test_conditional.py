"""Entity tags, 304, Accept and Accept-Encoding (spec 06.2)."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.negotiation import best_encoding, best_media_type
from store.payloads import etag_of
from tests.api.test_access import ROUTES, SUBJECTS
from tests.support.api import READER, frames, published
from tests.support.serving import AS_OF, small_generation, table

JSON, HTML, CSV = "application/json", "text/html", "text/csv"


def role_of(scopes):
    if scopes & {"metrics:read"}:
        return "analyst"
    return "operator" if scopes & {"operations:read"} else "service" if "users:read" in scopes else "user"


@pytest.mark.parametrize(("path", "scopes", "_own"), ROUTES, ids=[r[0] for r in ROUTES])
def test_unchanged_content_is_answered_with_304_and_fresh_headers(api, path, scopes, _own):
    role = role_of(scopes)
    token = api.token(SUBJECTS[role], role)
    first = api.request("GET", path, token=token)
    assert first.headers["etag"].startswith('W/"')
    assert len(first.headers["etag"]) == len('W/""') + 16
    for tags in (first.headers["etag"], f'"other", {first.headers["etag"]}', first.headers["etag"][2:], "*"):
        again = api.request("GET", path, token=token, headers={"if-none-match": tags})
        assert (again.status_code, again.content) == (304, b"")
        for name in ("etag", "x-data-generation", "x-data-as-of", "cache-control", "vary"):
            assert again.headers[name] == first.headers[name]
    changed = api.request("GET", path, token=token, headers={"if-none-match": 'W/"0000000000000000"'})
    assert (changed.status_code, changed.content) == (200, first.content)


def test_data_are_private_and_name_their_generation(api):
    response = api.get("/v2/me/feed", READER)
    assert response.headers["cache-control"] == "private"
    assert response.headers["x-data-generation"] == response.json()["generation"]
    assert response.headers["x-data-as-of"] == response.json()["as_of"] == "2026-11-22T14:10:03.000000Z"


def test_the_tag_is_over_data_and_state(api):
    for path in ("/v2/me/feed", "/v2/me/feed?limit=7", "/v2/me/digests", "/v2/me/entitlements", "/v2/me/usage"):
        response = api.get(path, READER)
        body = response.content
        data = body[body.index(b'"data":') + 7 : body.rindex(b"]") + 1]
        assert response.headers["etag"] == f'W/"{etag_of(data, response.json()["state"])}"'


def test_unchanged_content_keeps_its_tag_in_the_next_generation_and_changed_content_does_not(tmp_path):
    with published(tmp_path) as api:
        before = {p: api.get(p, READER).headers for p in ("/v2/me/feed", "/v2/me/digests")}
        made = frames()
        made["feed_items"] = table("feed_items", made["feed_items"].collect().to_dicts()[1:])
        small_generation(tmp_path, AS_OF + timedelta(hours=1), frames=made)
        api.refresh()
        digests = api.get("/v2/me/digests", READER, headers={"if-none-match": before["/v2/me/digests"]["etag"]})
        assert digests.status_code == 304
        assert digests.headers["x-data-as-of"] > before["/v2/me/digests"]["x-data-as-of"]
        feed = api.get("/v2/me/feed", READER, headers={"if-none-match": before["/v2/me/feed"]["etag"]})
        assert feed.status_code == 200


@pytest.mark.parametrize("path", ["/v2/me/feed", "/v2/me/feed?limit=19", "/v2/me/usage?from=2026-09-01&to=2026-11-20"])
def test_a_body_is_the_same_in_every_encoding(api, path):
    plain = api.get(path, READER)
    assert "content-encoding" not in plain.headers
    zipped = api.get(path, READER, headers={"accept-encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.content == plain.content, "httpx unpacks gzip"
    packed = api.get(path, READER, headers={"accept-encoding": "gzip, deflate, br, zstd"})
    assert packed.headers["content-encoding"] == "zstd"
    assert packed.content == plain.content, "httpx unpacks zstd"
    assert int(packed.headers["content-length"]) < len(plain.content) / 4
    assert len({r.headers["etag"] for r in (plain, zipped, packed)}) == 1


@pytest.mark.parametrize(("path", "scopes", "_own"), ROUTES, ids=[r[0] for r in ROUTES])
def test_an_accept_header_nobody_can_serve_is_406(api, path, scopes, _own):
    role = role_of(scopes)
    response = api.request("GET", path, token=api.token(SUBJECTS[role], role), headers={"accept": "image/png"})
    assert (response.status_code, response.json()["type"].rpartition("/")[2]) == (406, "not-acceptable")


@pytest.mark.parametrize(("path", "scopes", "_own"), ROUTES[:4] + ROUTES[-2:], ids=lambda x: str(x)[:40])
def test_head_is_get_without_a_body(api, path, scopes, _own):
    token = api.token(READER)
    get, head = (api.request(method, path, token=token) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    for own in ("ratelimit", "x-request-id"):  # the second of two requests has less left, and a name of its own
        get.headers[own] = head.headers[own]
    assert dict(head.headers) == dict(get.headers)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [(None, JSON), ("", JSON), ("*/*", JSON), ("application/json", JSON), ("text/html", HTML), ("text/*", HTML),
     ("text/html, application/json", JSON), ("text/html, application/json;q=0.9", HTML), ("application/*", JSON),
     ("text/html;q=0.1, */*;q=0.2", JSON), ("application/json;q=0, */*", HTML), ("image/png", None),
     ("*/*;q=0", None), ("TEXT/HTML", HTML), ("application/json;q=nonsense", None), (",,;,", None),
     ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML)],
)  # fmt: skip
def test_the_representation_follows_the_accept_header(accept, expected):
    assert best_media_type(accept, (JSON, HTML)) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, None), ("", None), ("identity", None), ("gzip", "gzip"), ("gzip, deflate, br", "gzip"),
     ("gzip, zstd", "zstd"), ("zstd;q=0.5, gzip", "gzip"), ("*", "zstd"), ("zstd;q=0, *", "gzip"), ("br", None),
     ("gzip;q=0", None), ("gzip;q=0.5, identity", None)],
)  # fmt: skip
def test_the_encoding_follows_the_accept_encoding_header(header, expected):
    assert best_encoding(header) == expected


@given(st.text(max_size=60))
def test_no_header_text_breaks_negotiation(text):
    assert best_media_type(text, (JSON, CSV)) in (JSON, CSV, None)
    assert best_encoding(text) in ("zstd", "gzip", None)
