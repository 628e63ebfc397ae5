"""v1: a view of v2 that announces its end (spec 06.2)."""

from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

import pytest

from api.routes import FORMER
from store.settings import ApiSettings, Settings
from tests.support.api import EMPTY, READER, UNKNOWN, running


@pytest.mark.parametrize("entry", FORMER, ids=lambda f: f.path)
@pytest.mark.parametrize("user", [READER, None], ids=["answer", "problem"])
def test_every_answer_announces_the_end_and_the_successor(api, entry, user):
    response = api.get(entry.path, user)
    assert response.headers["deprecation"] == "@1785456000"
    sunset = parsedate_to_datetime(response.headers["sunset"])
    assert sunset == datetime(2027, 1, 31, tzinfo=UTC)
    assert (sunset - datetime.fromtimestamp(1785456000, UTC)).days >= 180, "two versions overlap six months"
    links = dict(reversed(part.strip().split("; ", 1)) for part in response.headers["link"].split(", "))
    assert links['rel="deprecation"; type="text/html"'] == "</docs>"
    successor = links['rel="successor-version"'].strip("<>")
    assert api.get(successor, READER).status_code == 200


def test_the_sunset_is_a_setting(tmp_path):
    with running(Settings(home=tmp_path, api=ApiSettings(v1_sunset=date(2027, 6, 1)))) as api:
        assert api.get("/v1/feed").headers["sunset"] == "Tue, 01 Jun 2027 00:00:00 GMT"


def test_v2_announces_no_end(api):
    assert not {"deprecation", "sunset", "link"} & set(api.get("/v2/me/feed", READER).headers)


def test_the_feed_is_that_of_v2(api):
    newer = api.read("/v2/me/feed?limit=100", READER)["data"]
    older = api.read("/v1/feed?per_page=100", READER)["items"]
    assert [(i["id"], i["type"], i["object"]["id"], i["created_at"], i["seen"]) for i in older] == [
        (i["item_id"], i["verb"], i["object_id"], i["last_activity_at"], not i["is_unseen"]) for i in newer
    ]


@pytest.mark.parametrize("per_page", [1, 7, 20, 45, 100])
def test_numbered_pages_make_the_whole_feed(api, per_page):
    first = api.read(f"/v1/feed?per_page={per_page}", READER)
    assert (first["total"], first["page"]) == (45, 1)
    pages = [api.read(f"/v1/feed?page={n + 1}&per_page={per_page}", READER) for n in range(first["total_pages"])]
    found = [item["id"] for p in pages for item in p["items"]]
    assert found == [i["item_id"] for i in api.read("/v2/me/feed?limit=100", READER)["data"]]


def test_a_page_beyond_the_last_is_empty(api):
    assert api.read("/v1/feed?page=46&per_page=1", READER)["items"] == []


@pytest.mark.parametrize(
    "query", ["page=0", "per_page=101", "per_page=0", "page=6&per_page=100", "page=501&per_page=1", "limit=5"]
)
def test_a_page_out_of_reach_is_refused(api, query):
    assert api.get(f"/v1/feed?{query}", READER).status_code == 422


def test_an_empty_feed_has_no_pages(api):
    assert api.read("/v1/feed", EMPTY) == {"items": [], "page": 1, "per_page": 20, "total": 0, "total_pages": 0}


def test_recommendations_digests_and_usage_are_those_of_v2(api):
    people = api.read("/v2/me/recommendations/friends?limit=50", READER)["data"]
    assert api.read("/v1/recommendations", READER)["recommendations"] == [
        {"user_id": p["candidate_id"], "reason": p["reason_code"], "mutual_friends": p["mutual_count"]} for p in people
    ]
    digests = api.read("/v2/me/digests?limit=100", READER)["data"]
    assert [d["id"] for d in api.read("/v1/digests", READER)["digests"]] == [d["digest_id"] for d in digests]
    metered = [e for e in api.read("/v2/me/entitlements", READER)["data"] if e["kind"] == "metered"]
    assert api.read("/v1/usage", READER)["usage"] == [
        {"feature": e["feature_key"], "used": e["used"], "limit": e["limit"], "remaining": e["balance"],
         "resets_at": e["resets_at"]} for e in metered
    ]  # fmt: skip


def test_a_user_being_built_is_asked_to_come_back(api):
    response = api.get("/v1/feed", UNKNOWN)
    assert (response.status_code, response.headers["retry-after"], response.json()["items"]) == (200, "300", [])
