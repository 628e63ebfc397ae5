"""The four products, the metrics and the generations as clients read them (spec 06.2)."""

import csv
import io
import json
from datetime import timedelta

import pytest

from api.metrics import ROWS
from store.generations import rollback
from store.payloads import METRICS
from store.settings import Settings
from tests.api.test_access import DIGEST
from tests.support.api import EMPTY, READER, UNKNOWN, contract, frames, published, running
from tests.support.serving import AS_OF, small_generation


def metric(api, path, **headers):
    return api.request("GET", f"/v2/metrics/{path}", token=api.token("ada", "analyst"), headers=headers)


def test_the_feed_is_in_the_order_it_was_computed(api):
    for mode in ("ranked", "chronological"):
        items = api.read(f"/v2/me/feed?mode={mode}&limit=100", READER)["data"]
        assert [item["object_id"] for item in items] == [str(1000 + n) for n in range(1, 46)]


def test_the_mails_page_runs_nothing(api):
    response = api.get(f"/v2/me/digests/{DIGEST}", READER, headers={"accept": "text/html"})
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src https:"
    assert response.headers["content-security-policy"] == policy
    assert "Zoë" in response.text


def test_a_digest_has_one_tag_per_representation(api):
    tags = {
        accept: api.get(f"/v2/me/digests/{DIGEST}", READER, headers={"accept": accept}).headers["etag"]
        for accept in ("application/json", "text/html")
    }
    assert len(set(tags.values())) == 2


@pytest.mark.parametrize(
    "digest_id", [DIGEST[:-1], DIGEST + "0", DIGEST[:-1] + "2", "x" * 64, "٠" * 64, DIGEST.upper() + "F"]
)
def test_a_digest_that_is_not_there_is_not_found(api, digest_id):
    assert api.get(f"/v2/me/digests/{digest_id}", READER).status_code == 404


def test_one_entitlement_is_that_of_the_list(api):
    listed = api.read("/v2/me/entitlements", READER)
    for entitlement in listed["data"]:
        one = api.read(f"/v2/me/entitlements/{entitlement['feature_key']}", READER)
        assert one == {"data": entitlement, "generation": listed["generation"], "as_of": listed["as_of"]}
    assert api.get("/v2/me/entitlements/nope", READER).status_code == 404


def test_one_entitlement_of_a_user_who_is_being_built_is_asked_for_later(api):
    response = api.get("/v2/me/entitlements/posts", UNKNOWN)
    assert (response.status_code, response.headers["retry-after"]) == (503, "300")
    assert api.get("/v2/me/entitlements/posts", EMPTY).status_code == 404


def test_usage_is_of_the_last_thirty_whole_days_by_default(api):
    answer = api.read("/v2/me/usage", READER)
    assert (answer["from"], answer["to"], answer["time_zone"]) == ("2026-10-23", "2026-11-22", "Europe/Berlin")
    assert [day["date"] for day in answer["data"]][::29] == ["2026-10-23", "2026-11-21"]
    assert len(answer["data"]) == 30


@pytest.mark.parametrize(
    ("query", "days"),
    [("from=2026-11-20", 2), ("to=2026-11-20", 30), ("from=2026-11-20&to=2026-11-21", 1),
     ("to=2026-12-01&from=2026-11-21", 2),
     ("from=2026-11-20&meter=posts", 2), ("from=2026-11-20&meter=other", 0), ("from=2026-08-24&to=2026-11-22", 90)],
)  # fmt: skip
def test_usage_holds_the_days_asked_for(api, query, days):
    answer = api.read(f"/v2/me/usage?{query}", READER)
    assert len(answer["data"]) == days
    assert answer["state"] == ("ready" if days else "empty")
    assert all(answer["from"] <= day["date"] < answer["to"] for day in answer["data"])


@pytest.mark.parametrize(
    "query",
    ["from=2026-11-22", "from=2026-11-23", "from=2026-11-21&to=2026-11-20", "from=2026-08-01&to=2026-11-01",
     "from=yesterday", "from=2026-13-01", "from=2026-11-2", "to=20261122", "to=0001-01-02", "from=1700000000",
     "to=2026-11-22T00:00:00", "from="],
)  # fmt: skip
def test_a_period_that_makes_no_sense_is_refused(api, query):
    response = api.get(f"/v2/me/usage?{query}", READER)
    assert (response.status_code, response.json()["type"].rpartition("/")[2]) == (422, "invalid-parameter")
    assert response.json()["errors"]


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_the_same_as_json_and_as_csv(api, name):
    page = metric(api, name).json()
    text = metric(api, name, accept="text/csv")
    assert text.headers["content-type"].startswith("text/csv")
    header, *rows = csv.reader(io.StringIO(text.text))
    assert header == list(ROWS[name].model_fields)
    assert len(rows) == len(page["data"])
    for cells, row in zip(rows, page["data"], strict=True):
        for field, cell in zip(header, cells, strict=True):
            value = row[field]
            told = "" if value is None else value if isinstance(value, str) else json.dumps(value)
            assert cell == told


def test_a_metric_is_filtered_by_period_grain_and_currency(api):
    assert [row["period_start"] for row in metric(api, "growth?grain=week").json()["data"]] == ["2026-11-09"]
    assert metric(api, "growth?grain=day").json()["data"] == []
    assert metric(api, "growth?from=2026-11-10&to=2026-11-20").json()["data"] == []
    assert {row["currency"] for row in metric(api, "revenue").json()["data"]} == {"EUR", "USD"}
    assert [row["currency"] for row in metric(api, "revenue?currency=EUR").json()["data"]] == ["EUR"]


@pytest.mark.parametrize("path", ["engagement?grain=day", "revenue?grain=month", "plans?grain=day"])
def test_the_only_grain_of_a_metric_may_be_named(api, path):
    rows = metric(api, path).json()["data"]
    assert rows
    assert rows == metric(api, path.partition("?")[0]).json()["data"]


@pytest.mark.parametrize(
    ("path", "told"),
    [("engagement?grain=week", "engagement is by day"), ("retention?grain=day", "retention is by week or month"),
     ("revenue?grain=day", "revenue is by month"), ("plans?grain=month", "plans are by day"),
     ("growth?currency=EUR", "no currency"), ("retention?currency=EUR", "no currency"),
     ("engagement?currency=", "no currency")],
)  # fmt: skip
def test_a_filter_that_the_rows_of_a_metric_cannot_have_is_refused_saying_what_they_have(api, path, told):
    name, _, value = path.partition("?")[2].partition("=")
    response = metric(api, path)
    assert (response.status_code, response.json()["type"].rpartition("/")[2]) == (422, "invalid-parameter")
    assert response.json()["errors"][0]["pointer"] == f"#/query/{name}"
    assert response.json()["detail"].startswith(f"{name}: {value!r} is not accepted: ")
    assert told in response.json()["detail"]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_declares_the_parameters_of_the_contract(api, name):
    declared = api.app.openapi()["paths"][f"/v2/metrics/{name}"]["get"]["parameters"]
    (endpoint,) = [e for e in contract()["x-endpoints"] if "/v2/metrics/" in e]
    assert name in endpoint
    assert contract()["x-endpoints"][endpoint]["parameters"].partition(" (")[0] == "from to grain? currency?"
    assert [each["name"] for each in declared] == ["from", "to", "grain", "currency"]
    assert all(each["schema"]["type"] == "string" for each in declared)


@pytest.mark.parametrize(
    "path",
    ["growth?grain=year", "revenue?currency=eur", "engagement?segment=DE",
     "plans?from=2026-02-01&to=2026-01-01", "plans?from=1900-01-01"],
)  # fmt: skip
def test_a_metric_refuses_what_it_does_not_know(api, path):
    response = metric(api, path)
    assert (response.status_code, response.json()["type"].rpartition("/")[2]) == (422, "invalid-parameter")


def test_before_the_first_generation_everything_says_to_come_back(tmp_path):
    with running(Settings(home=tmp_path)) as api:
        for path in ("/v2/me/feed", "/v2/me/usage", "/v1/feed", "/v2/me/digests/" + DIGEST):
            assert api.get(path).status_code == 401
            response = api.get(path, READER)
            assert (response.status_code, response.json()["type"].rpartition("/")[2]) == (503, "not-ready")
            assert int(response.headers["retry-after"]) > 0
        operator = api.token("grace", "operator")
        assert api.request("GET", "/v2/generations", token=operator).json() == {"data": []}
        assert api.request("GET", "/v2/generations/current", token=operator).status_code == 503
        assert metric(api, "growth").status_code == 503
        small_generation(tmp_path)
        api.refresh()
        assert api.get("/v2/me/feed", READER).status_code == 200


def test_a_rollback_is_served_and_the_one_left_is_quarantined(tmp_path):
    with published(tmp_path) as api:
        first = api.get("/v2/me/feed", READER).json()["generation"]
        second = small_generation(tmp_path, AS_OF + timedelta(hours=1), frames=frames()).generation
        api.refresh()
        cursor = api.read("/v2/me/feed", READER)["next_cursor"]
        assert rollback(tmp_path) == first
        api.refresh()
        answer = api.read(f"/v2/me/feed?cursor={cursor}", READER)
        assert answer["generation"] == first, "a quarantined generation is not read again, not even by its cursors"
        listed = api.request("GET", "/v2/generations", token=api.token("grace", "operator")).json()["data"]
        assert {g["generation"]: g["status"] for g in listed} == {first: "live", second: "quarantined"}


def test_a_damaged_generation_is_not_served_and_the_last_good_one_stays(tmp_path):
    with published(tmp_path) as api:
        first = api.read("/v2/me/feed", READER)["generation"]
        second = small_generation(tmp_path, AS_OF + timedelta(hours=1), frames=frames()).generation
        path = tmp_path / "generations" / second / "feed.arrow"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        api.refresh()
        assert api.read("/v2/me/feed", READER)["generation"] == first
        ready = api.get("/readyz").json()
        assert ready["status"] == "degraded"
        assert any("feed.arrow" in reason for reason in ready["reasons"])
