"""What was revoked since the data's as_of is left out of every read; not knowing withholds (spec 06.2)."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.revocations import Kind
from store.settings import RevocationSettings, Settings
from tests.api.test_delta import MODES, feeds
from tests.api.test_delta import items as some_items
from tests.api.test_hot import PAGES, asking, said
from tests.support.api import EXACT, READER, SUGGESTED, assert_shape, frames, running
from tests.support.revocations import entry, write_revocations
from tests.support.serving import AS_OF, built_digest, small_generation, table

LATER = AS_OF + timedelta(minutes=30)
PUBLIC = {1002, 1004, 1021}
FEED, FRIENDS, DIGESTS = "/v2/me/feed?", "/v2/me/recommendations/friends?", "/v2/me/digests?"


def home_frames():
    """The sample frames; three posts are public, of the others nothing is known."""
    made = frames()
    acts = [{**row, "audience": "public", "object_audience": "public"} if row["id"] in PUBLIC else row
            for row in made["staged_activities"].collect().to_dicts()]  # fmt: skip
    return made | {"staged_activities": table("staged_activities", acts)}


def settings_of(home, mode="required", **more):
    return Settings(home=home, env="test", revocations=RevocationSettings(mode=mode, **more))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("revocations")
    small_generation(home, frames=home_frames())
    return home


@pytest.fixture(scope="module")
def api(home):
    write_revocations(home)
    with running(settings_of(home)) as api:
        yield api


@pytest.fixture
def revoke(api):
    """Replaces what is revoked; nothing is after the test."""

    def replace(*entries, **how):
        write_revocations(api.settings.home, entries, **how)
        api.refresh()

    replace()
    yield replace
    replace()


def objects(page):
    return [int(item["object_id"]) for item in page["data"]]


def whole(api, path, user=READER, limit=50):
    """Every item, page by page."""
    data, cursor = [], ""
    while cursor is not None:
        page = api.read(f"{path}&limit={limit}{cursor}", user)
        data += page["data"]
        cursor = None if page["next_cursor"] is None else f"&cursor={page['next_cursor']}"
    return data


def test_a_deleted_post_leaves_every_page_and_the_tag_changes(api, revoke):
    before, delta = api.get("/v2/me/feed", READER), f"/v2/me/feed/delta?since={api.read(FEED, READER)['generation']}"
    revoke(entry(Kind.DELETED, 1003, at=LATER))
    after = api.get("/v2/me/feed", READER)
    assert objects(after.json()) == [n for n in range(1001, 1022) if n != 1003]
    assert after.json()["state"] == "ready"
    assert after.headers["etag"] != before.headers["etag"]
    assert after.headers["x-data-generation"] == before.headers["x-data-generation"]
    again = api.get("/v2/me/feed", READER, headers={"if-none-match": after.headers["etag"]})
    assert again.status_code == 304
    assert api.read(delta, READER)["removes"] == [{"item_id": f"{1003:016x}", "reason": "removed"}]
    for limit in (1, 7, 20, 44, 50):
        assert objects({"data": whole(api, FEED, limit=limit)}) == [n for n in range(1001, 1046) if n != 1003]
    assert len(api.read("/v1/feed?per_page=100", READER)["items"]) == 44
    assert api.read("/v1/feed", READER)["total"] == 44


def test_what_is_withheld_behind_the_first_page_leaves_the_stored_page(api, revoke):
    before = api.get("/v2/me/feed", READER)
    revoke(entry(Kind.DELETED, 1040, at=LATER))
    assert api.get("/v2/me/feed", READER).content == before.content
    assert len(whole(api, FEED)) == 44


def test_a_revocation_that_the_data_know_holds_no_more_but_an_erasure_always_does(api, revoke):
    revoke(entry(Kind.DELETED, 1003, at=AS_OF), entry(Kind.GONE, 2, at=AS_OF))
    assert len(whole(api, FEED)) == 45
    revoke(entry(Kind.ERASED, 2, at=AS_OF - timedelta(days=900)))
    page = api.read(FEED, READER)
    assert (page["data"], page["state"], page["next_cursor"]) == ([], "empty", None)
    assert_shape("FeedPage", page)


@pytest.mark.parametrize("kind", [Kind.GONE, Kind.ERASED])
def test_a_person_who_is_gone_is_as_unknown_as_in_the_next_generation(api, revoke, kind):
    revoke(entry(kind, READER, at=LATER))
    for path in (*PAGES, "/v2/me/usage", "/v2/me/feed/delta"):
        response = api.get(path, READER)
        assert (response.json()["state"], response.json().get("data", [])) == ("building", [])
    assert api.get(f"/v2/me/digests/{built_digest(1)['digest_id']}", READER).status_code == 404
    service = api.token("feeder", role="service")
    assert api.request("GET", f"/v2/users/{READER}/feed", token=service).status_code == 404


def test_a_block_is_between_two_and_hits_whatever_names_the_other(api, revoke):
    revoke(entry(Kind.BLOCKED, 2, READER, at=LATER))
    assert whole(api, FEED) == []
    assert whole(api, FRIENDS) == [], "2 is a named mutual friend of every candidate"
    assert len(whole(api, FEED, user=EXACT)) == 20
    revoke(entry(Kind.BLOCKED, 6, READER, at=LATER))
    assert whole(api, FEED) == [], "6 is mentioned in every post"


def test_a_recommendation_falls_with_its_candidate_and_with_a_mutual_friend_it_names(api, revoke):
    revoke(entry(Kind.DISMISSED, READER, 1000, at=LATER), entry(Kind.REQUESTED, 1001, READER, at=LATER),
           entry(Kind.MUTED, READER, 1002, at=LATER), entry(Kind.GONE, 1003, at=LATER),
           entry(Kind.BLOCKED, 1004, 2, at=LATER), entry(Kind.UNFRIENDED, 2, 1005, at=LATER),
           entry(Kind.DISMISSED, EXACT, 1007, at=LATER))  # fmt: skip
    assert [int(each["candidate_id"]) for each in whole(api, FRIENDS)] == list(range(1006, 1045))
    assert [int(each["candidate_id"]) for each in whole(api, FRIENDS, user=EXACT)] == [
        1000, 1001, 1002, *(n for n in range(1006, 1020) if n != 1007)
    ]  # fmt: skip
    assert len(api.read("/v1/recommendations", READER)["recommendations"]) == 39


def test_a_digest_that_names_a_revoked_person_is_gone_in_every_form(api, revoke):
    path = f"/v2/me/digests/{built_digest(1)['digest_id']}"
    assert api.get(path, READER).status_code == 200
    revoke(entry(Kind.DELETED, 5001, at=LATER))
    assert (api.get(path, READER).status_code, len(whole(api, DIGESTS))) == (404, 22)
    revoke(entry(Kind.BLOCKED, READER, 6, at=LATER))
    assert whole(api, DIGESTS) == []
    assert api.read("/v1/digests", READER)["digests"] == []
    for accept in ("application/json", "text/html"):
        assert api.get(path, READER, headers={"accept": accept}).status_code == 404
    assert api.read("/v2/me/entitlements", READER)["state"] == "ready"


def test_what_is_public_stays_when_a_friendship_ends_only_elsewhere(api, revoke):
    revoke(entry(Kind.UNFRIENDED, READER, 6, at=LATER))
    assert len(whole(api, FEED)) == 45, "6 is only mentioned"
    revoke(entry(Kind.UNFRIENDED, READER, 2, at=LATER))
    assert whole(api, FEED) == [], "2 is the actor"
    revoke(entry(Kind.LEFT, READER, 77, at=LATER))
    assert objects({"data": whole(api, FEED)}) == list(range(1002, 1046))


def test_a_hidden_post_is_hidden_for_the_one_who_hid_it(api, revoke):
    revoke(entry(Kind.HIDDEN, READER, 1002, 0, at=LATER), entry(Kind.HIDDEN, READER, 1004, 1, at=LATER))
    assert objects(api.read(FEED, READER))[:3] == [1001, 1003, 1004]
    assert len(whole(api, FEED, user=EXACT)) == 20


def test_stale_revocations_withhold_what_is_not_public_and_say_so(api, revoke):
    revoke(age_seconds=61)
    page = api.read(FEED, READER)
    assert (set(objects(page)), page["state"]) == (PUBLIC, "degraded")
    assert_shape("FeedPage", page)
    for path in (FRIENDS, DIGESTS):
        assert (api.read(path, READER)["data"], api.read(path, READER)["state"]) == ([], "degraded")
    assert len(api.read(FRIENDS, SUGGESTED)["data"]) == 0
    delta = api.read(f"/v2/me/feed/delta?since={page['generation']}", READER)
    assert (delta["is_full_resync"], delta["state"]) == (True, "degraded")
    assert {int(item["object_id"]) for item in delta["upserts"]} == PUBLIC
    single = api.get(f"/v2/me/digests/{built_digest(1)['digest_id']}", READER)
    assert (single.status_code, single.headers["retry-after"]) == (503, "30")
    assert api.read("/v2/me/entitlements", READER)["state"] == "ready"
    assert len(api.read("/v1/feed?per_page=100", READER)["items"]) == len(PUBLIC)


def test_readiness_and_metrics_tell_the_age(api, revoke):
    revoke(age_seconds=10)
    ready = api.get("/readyz").json()
    assert_shape("Ready", ready)
    assert 10 <= ready["revocations_age_seconds"] < 60
    assert not any("revocations" in reason for reason in ready["reasons"])
    assert "flowforge_revocations_late 0.0" in api.get("/metrics").text
    revoke(age_seconds=100)
    ready = api.get("/readyz").json()
    assert (ready["status"], ready["revocations_age_seconds"] >= 100) == ("degraded", True)
    assert any("items that are not public are withheld" in reason for reason in ready["reasons"])
    assert "flowforge_revocations_late 1.0" in api.get("/metrics").text


def test_a_server_that_has_just_begun_gives_its_tailer_time_before_the_alert(home, caplog):
    with running(settings_of(home)) as young:
        (home / "revocations" / "current.arrow").unlink()
        young.refresh()
    with running(settings_of(home)) as young:
        write_revocations(home, age_seconds=3600)
        young.refresh()
    write_revocations(home)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_the_alert_is_logged_once_and_its_end_too(api, revoke, caplog, monkeypatch):
    runtime = api.app.state.runtime
    monkeypatch.setattr(runtime, "_begun", runtime._begun - 60)  # it has been up for a minute
    caplog.set_level("INFO", "flowforge.api")
    for age in (31, 45):
        revoke(age_seconds=age)
    revoke(age_seconds=1)
    assert [record.levelname for record in caplog.records if "revocations" in record.message] == ["ERROR", "INFO"]


def test_a_file_that_cannot_be_read_leaves_what_is_known(api, revoke):
    revoke(entry(Kind.DELETED, 1003, at=LATER))
    path = api.settings.home / "revocations" / "current.arrow"
    content = bytearray(path.read_bytes())
    for damaged in (b"", content[:-40], content.replace((1003).to_bytes(8, "little"), (1004).to_bytes(8, "little"))):
        path.write_bytes(damaged)
        os.utime(path, ns=(1, len(damaged)))
        api.refresh()
        assert 1003 not in objects(api.read(FEED, READER))
        assert str(path) in api.app.state.runtime.revocations.last_error


@pytest.mark.parametrize(
    ("mode", "state", "count"), [("required", "degraded", 3), ("best_effort", "ready", 45), ("off", "ready", 45)]
)
def test_before_the_first_reading_only_required_withholds(home, mode, state, count, tmp_path):
    (tmp_path / "generations").symlink_to(home / "generations")
    (tmp_path / "secrets").symlink_to(home / "secrets")
    with running(settings_of(tmp_path, mode)) as api:
        assert (api.read(FEED, READER)["state"], len(whole(api, FEED))) == (state, count)
        assert api.get("/readyz").json()["revocations_age_seconds"] is None
        write_revocations(tmp_path, [entry(Kind.DELETED, 1003, at=LATER)], age_seconds=500)
        api.refresh()
        assert (1003 in objects(api.read(FEED, READER))) == (mode == "off")
        assert api.read(FEED, READER)["state"] == state


def test_data_older_than_the_file_covers_are_degraded(api, revoke):
    revoke(since=AS_OF + timedelta(seconds=1))
    assert api.read(FEED, READER)["state"] == "degraded"
    revoke(since=AS_OF)
    assert api.read(FEED, READER)["state"] == "ready"


def test_a_rollback_brings_no_erased_person_and_no_block_back(tmp_path):
    from store.generations import rollback

    first = small_generation(tmp_path, frames=home_frames()).generation
    small_generation(tmp_path, AS_OF + timedelta(hours=1), frames=home_frames())
    entries = [entry(Kind.ERASED, 1001, at=AS_OF - timedelta(days=9)), entry(Kind.BLOCKED, EXACT, 2, at=LATER)]
    write_revocations(tmp_path, entries)
    with running(settings_of(tmp_path)) as api:
        assert len(whole(api, FEED, user=EXACT)) == 20, "the newer data know of the block"
        assert "1001" not in [each["candidate_id"] for each in whole(api, FRIENDS)]
        rollback(tmp_path, first)
        api.refresh()
        assert api.read(FEED, READER)["generation"] == first
        assert whole(api, FEED, user=EXACT) == []
        assert "1001" not in [each["candidate_id"] for each in whole(api, FRIENDS)]


places = st.sets(st.integers(1001, 1045), max_size=45)


@settings(max_examples=20)
@given(changes=st.lists(places, min_size=1, max_size=5), sizes=st.lists(st.integers(1, 20), min_size=1))
def test_walking_on_while_items_are_revoked_skips_and_repeats_nothing(api, changes, sizes):
    found, cursor, step = [], "", 0
    while cursor is not None:
        now = changes[min(step, len(changes) - 1)]
        write_revocations(api.settings.home, [entry(Kind.DELETED, n, at=LATER) for n in now])
        api.refresh()
        page = api.read(f"/v2/me/feed?limit={sizes[step % len(sizes)]}{cursor}", READER)
        assert not now.intersection(objects(page))
        found += objects(page)
        cursor = None if page["next_cursor"] is None else f"&cursor={page['next_cursor']}"
        step += 1
    assert found == sorted(set(found))
    always = set(range(1001, 1046)).difference(*changes)
    assert always <= set(found)


@settings(max_examples=10)
@given(
    before=some_items, after=some_items, first=st.sets(st.integers(1001, 1012)), second=st.sets(st.integers(1001, 1012))
)
def test_the_delta_law_holds_whenever_the_feed_was_read(tmp_path_factory, before, after, first, second):
    home = tmp_path_factory.mktemp("delta")
    small_generation(home, frames=feeds(before))
    # what is known only grows while a generation is kept: some of it before the newer one, some after
    early = [entry(Kind.DELETED, n, at=AS_OF + timedelta(minutes=30)) for n in first]
    late = [entry(Kind.DELETED, n, at=AS_OF + timedelta(hours=2)) for n in second]
    write_revocations(home)
    with running(settings_of(home)) as api:
        held = []
        for known in ([], early):
            write_revocations(home, known)
            api.refresh()
            held += [(mode, api.read(f"/v2/me/feed?mode={mode}&limit=100", READER)) for mode in MODES]
        small_generation(home, as_of=AS_OF + timedelta(hours=1), frames=feeds(after))
        for known in (early, early + late):
            write_revocations(home, known)
            api.refresh()
            for mode, page in held:
                delta = api.read(f"/v2/me/feed/delta?mode={mode}&since={page['generation']}", READER)
                assert_shape("FeedDelta", delta)
                kept = {item["item_id"]: item for item in page["data"]}
                for gone in delta["removes"]:
                    kept.pop(gone["item_id"], None)
                kept |= {item["item_id"]: item for item in delta["upserts"]}
                now = api.read(f"/v2/me/feed?mode={mode}&limit=100", READER)["data"]
                assert sorted(kept.values(), key=lambda item: item["sort_key"]) == now


@pytest.fixture(scope="module")
def both(api):
    with asking(api) as ask:
        yield ask


entries_made = st.lists(
    st.builds(
        lambda kind, one, other: entry(kind, one, other, at=LATER),
        st.sampled_from(list(Kind)),
        st.sampled_from([READER, EXACT, 2, 3, 1000, 1001, 1019, 1020, 5001]),
        st.sampled_from([READER, 2, 6, 77, 1002, 1005]),
    ),
    max_size=4,
)


@settings(max_examples=30)
@given(
    entries=entries_made,
    age=st.sampled_from([0, 0, 90]),
    path=st.sampled_from(PAGES),
    who=st.sampled_from([READER, EXACT]),
    encoding=st.sampled_from(["", "zstd", "gzip"]),
)
def test_hot_pages_and_the_reference_withhold_the_same_byte_for_byte(api, both, entries, age, path, who, encoding):
    write_revocations(api.settings.home, entries, age_seconds=age)
    api.refresh()
    headers = {"authorization": f"Bearer {api.token(who)}", "accept-encoding": encoding}
    expected, found, by_itself = both(path, headers)
    assert said(found) == said(expected)
    assert by_itself or found.json()["state"] == "building"
    expected, found, _ = both(path, headers | {"if-none-match": found.headers["etag"]})
    assert said(found) == said(expected)
    assert found.status_code == 304


@pytest.mark.parametrize("path", PAGES)
def test_what_a_hot_page_answered_before_holds_no_longer_than_what_was_known(api, both, revoke, path):
    sent = {"authorization": f"Bearer {api.token(READER)}"}
    for known in (
        {},
        {"age_seconds": 90},
        {"age_seconds": 0},
        {"entries": [entry(Kind.DELETED, 1003, at=LATER), entry(Kind.GONE, 1001, at=LATER)]},
        {"entries": [entry(Kind.GONE, READER, at=LATER)]},
    ):
        revoke(*known.pop("entries", ()), **known)
        for _ in range(2):
            expected, found, _ = both(path, sent)
            assert said(found) == said(expected)
