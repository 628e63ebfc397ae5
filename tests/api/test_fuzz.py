"""Whatever is sent, the answer is one the contract names: never a 5xx of ours, always a problem (spec 06.4)."""

import re
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import routes
from api.problems import UNEXPLAINED
from store.payloads import METRICS
from tests.support.api import READER, assert_shape

TEMPLATES = (
    [f"/v2/{who}{p.path}" for p in routes.PERSONAL for who in ("me", "users/{user_id}")]
    + [f.path for f in routes.FORMER]
    + [f"/v2/metrics/{m}" for m in METRICS]
    + ["/v2/generations", "/v2/generations/current", "/nowhere"]
)
WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "0", "1", "-1", "20", "100", "101", "ranked", "chronological", "daily", "week", "EUR", "2026-11-20",
         "2026-11-22", "0001-01-01", "9999-12-31", "null", "1e9", "posts", "%", "a" * 64, "٣", "1\n", "\x00"]
    ),
)  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(
        ["mode", "limit", "cursor", "kind", "from", "to", "meter", "grain", "currency", "page", "per_page"]
    ),
    st.text(max_size=5),
)
HEADERS = st.dictionaries(
    st.sampled_from(["accept", "accept-encoding", "if-none-match", "traceparent", "content-length", "range"]),
    st.one_of(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20), st.just("*/*")),
    max_size=2,
)
STATUSES = {200, 304, 400, 401, 403, 404, 405, 406, 413, 414, 422, 431}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    template=st.sampled_from(TEMPLATES),
    parts=st.lists(WORDS, min_size=2, max_size=2),
    query=st.lists(st.tuples(NAMES, WORDS), max_size=3),
    headers=HEADERS,
    role=st.sampled_from(["user", "service", "analyst", "operator"]),
    method=st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS"]),
)
def test_no_request_makes_the_api_fail(api, template, parts, query, headers, role, method):
    filling = iter(parts)
    path = re.sub(r"\{\w+\}", lambda _: quote(next(filling), safe=""), template)
    asked = path + ("?" + "&".join(f"{quote(n)}={quote(v)}" for n, v in query) if query else "")
    response = api.request(method, asked, token=api.token(READER, role), headers=headers)
    assert response.status_code in STATUSES | {204}, response.text
    if response.status_code >= 400 and method != "HEAD":
        assert response.headers["content-type"] == "application/problem+json"
        assert_shape("Problem", response.json())
        assert UNEXPLAINED not in response.json()["detail"], "a parameter without words of its own"
