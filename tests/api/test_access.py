"""Role × route × own or other: the matrix of spec 06.2, from the one table of scopes."""

import re
from typing import get_args

import pytest

from api import routes
from api.auth import user_id_of
from api.scopes import SCOPES, Role, granted, role_named
from store.payloads import METRICS
from tests.support.api import EMPTY, GONE, READER, UNKNOWN

DIGEST = "0001" + f"{READER:060x}"
PATHS = {p.path: p.path.replace("{digest_id}", DIGEST).replace("{feature_key}", "posts") for p in routes.PERSONAL}
SUBJECTS = {"user": READER, "service": "mailer", "analyst": "ada", "operator": "grace"}
ROUTES = [
    *((f"/v2/me{PATHS[p.path]}", {p.scope}, True) for p in routes.PERSONAL),
    *((f"/v2/users/{READER}{PATHS[p.path]}", {"users:read", p.scope}, False) for p in routes.PERSONAL),
    *((f"/v2/metrics/{metric}", {"metrics:read"}, False) for metric in METRICS),
    ("/v2/generations", {"operations:read"}, False),
    ("/v2/generations/current", {"operations:read"}, False),
    *((f.path, {f.scope}, True) for f in routes.FORMER),
]
IDS = [path for path, _, _ in ROUTES]


def slug(response):
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code
    return response.json()["type"].rpartition("/")[2]


def test_the_matrix_covers_every_path_of_the_api(api):
    templates = {re.sub(r"\{\w+\}", "[^/]+", path) for path in api.app.openapi()["paths"]}
    protected = {t for t in templates if t not in ("/livez", "/readyz", "/metrics", "/v2/unsubscribe/[^/]+")}
    assert protected == {t for t in protected if any(re.fullmatch(t, path) for path in IDS)}
    assert len(ROUTES) == len(protected)


@pytest.mark.parametrize(("path", "_scopes", "_own"), ROUTES, ids=IDS)
def test_an_anonymous_caller_is_asked_for_a_token(api, path, _scopes, _own):
    response = api.get(path)
    assert (response.status_code, slug(response)) == (401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw", "Bearer x.y.z", "Token abc", "bearer \x7f"])
def test_what_is_not_a_valid_bearer_token_is_refused(api, header):
    response = api.get("/v2/me/feed?limit=nonsense", headers={"authorization": header})
    assert (response.status_code, slug(response)) == (401, "unauthorized")


@pytest.mark.parametrize("role", [r for r in get_args(Role) if r != "anonymous"])
@pytest.mark.parametrize(("path", "scopes", "is_own"), ROUTES, ids=IDS)
def test_a_role_reads_exactly_what_its_scopes_allow(api, path, scopes, is_own, role):
    response = api.request("GET", path, token=api.token(SUBJECTS[role], role))
    if not scopes <= SCOPES[role]:
        assert (response.status_code, slug(response)) == (403, "forbidden")
        assert "insufficient_scope" in response.headers["www-authenticate"]
    elif is_own and role != "user":
        assert (response.status_code, slug(response)) == (403, "forbidden"), "a service is no user: it has no /me"
    else:
        assert response.status_code == 200, response.text


@pytest.mark.parametrize(("path", "scopes", "_own"), ROUTES, ids=IDS)
def test_a_token_without_one_of_the_scopes_is_refused(api, path, scopes, _own):
    for missing in scopes:
        for role in ("user", "service", "analyst", "operator"):
            kept = SCOPES[role] - {missing}
            response = api.request("GET", path, token=api.token(READER, role, kept))
            assert (response.status_code, slug(response)) == (403, "forbidden")


@pytest.mark.parametrize("entry", routes.PERSONAL, ids=lambda p: p.path)
def test_a_user_does_not_read_another_by_the_users_path(api, entry):
    response = api.get(f"/v2/users/{READER}{PATHS[entry.path]}", EMPTY)
    assert (response.status_code, slug(response)) == (403, "forbidden")


@pytest.mark.parametrize("entry", routes.PERSONAL, ids=lambda p: p.path)
@pytest.mark.parametrize("user_id", [UNKNOWN, GONE, "0001", "9223372036854775808"])
def test_an_unknown_or_inactive_user_is_not_found(api, entry, user_id):
    path = f"/v2/users/{user_id}{PATHS[entry.path]}"
    response = api.request("GET", path, token=api.token("mailer", "service"))
    assert (response.status_code, slug(response)) == (404, "not-found")


@pytest.mark.parametrize("user_id", ["x", "-1", "12345678901234567890", "1%20"])
def test_what_cannot_be_a_user_id_is_a_parameter_problem(api, user_id):
    response = api.request("GET", f"/v2/users/{user_id}/feed", token=api.token("mailer", "service"))
    assert (response.status_code, slug(response)) == (422, "invalid-parameter")


@pytest.mark.parametrize("sub", ["ada", "042", "9" * 20])
def test_whose_sub_is_no_user_id_is_told_what_their_token_can_do(api, sub):
    told = {
        role: api.request("GET", "/v2/me/feed", token=api.token(sub, role)).json()["detail"]
        for role in ("user", "service")
    }
    assert all("sub is no user id" in detail for detail in told.values())
    assert "/v2/users/" in told["service"]
    assert "/v2/users/" not in told["user"], "a user's token may not read there"
    assert "Get a token whose sub is the user's id." in told["user"]


def test_me_and_the_users_path_answer_the_same(api):
    service = api.token("mailer", "service")
    for path in PATHS.values():
        mine, theirs = api.get(f"/v2/me{path}", READER), api.request("GET", f"/v2/users/{READER}{path}", token=service)
        assert (mine.content, mine.headers["etag"]) == (theirs.content, theirs.headers["etag"])


def test_another_users_digest_is_not_found(api):
    assert api.get(f"/v2/me/digests/{DIGEST}", READER).status_code == 200
    response = api.get(f"/v2/me/digests/{DIGEST}", EMPTY)
    assert (response.status_code, slug(response)) == (404, "not-found")
    other = api.request("GET", f"/v2/users/{EMPTY}/digests/{DIGEST}", token=api.token("mailer", "service"))
    assert other.status_code == 404


def test_a_scope_claim_narrows_but_never_widens():
    assert granted("user", None) == SCOPES["user"]
    assert granted("user", "feed:read metrics:read openid") == {"feed:read"}
    assert granted("user", "") == frozenset()


def test_roles_are_named_in_the_token_or_a_users():
    assert role_named(None) == "user"
    assert role_named("operator") == "operator"
    assert role_named("anonymous") is None
    assert role_named("admin") is None
    assert role_named(["user"]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("42", 42), ("0", 0), ("9223372036854775807", 2**63 - 1), ("9223372036854775808", None), ("042", None),
     ("-1", None), ("", None), ("٤٢", None), ("4²", None), ("1" * 5000, None)],
)  # fmt: skip
def test_a_user_id_has_one_text(text, expected):
    assert user_id_of(text) == expected
