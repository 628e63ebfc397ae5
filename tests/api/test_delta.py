"""The delta law: what a client holds, with the delta applied, is the feed now (06.2)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.settings import Settings
from tests.support.api import READER, UNKNOWN, assert_shape, frames, running
from tests.support.serving import AS_OF, feed_item, small_generation, table

MODES = ("ranked", "chronological")
items = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3), st.booleans()), max_size=10, unique_by=lambda i: i[0])


def feeds(chosen):
    """The frames with one viewer's feed: (position, score step, unseen) each."""
    made = frames()
    rows = []
    for mode in MODES:
        scored = [(10_000_000 - n + step if mode == "ranked" else 0, n, unseen) for n, step, unseen in chosen]
        for position, (score, n, unseen) in enumerate(sorted(scored, key=lambda item: (-item[0], item[1])), 1):
            rows.append(feed_item(READER, mode, n, score=score, is_unseen=unseen) | {"position": position})
    return made | {"feed_items": table("feed_items", rows)}


def tombstones(rows):
    """The frame of ``feed_tombstones``."""
    return table("feed_tombstones", [{"viewer_id": READER, "removed_at": AS_OF, **row} for row in rows])


def whole(api, mode, user=READER):
    """A viewer's whole feed and its generation."""
    page = api.read(f"/v2/me/feed?mode={mode}&limit=100", user)
    assert page["next_cursor"] is None
    return page["data"], page["generation"]


def applied(held, delta):
    """What the client guide says to do."""
    kept = {} if delta["is_full_resync"] else {item["item_id"]: item for item in held}
    for gone in delta["removes"]:
        del kept[gone["item_id"]]
    kept |= {item["item_id"]: item for item in delta["upserts"]}
    return sorted(kept.values(), key=lambda item: item["sort_key"])


@settings(max_examples=15)
@given(before=items, after=items)
def test_what_a_client_held_with_the_delta_applied_is_the_feed_now(tmp_path_factory, before, after):
    home = tmp_path_factory.mktemp("delta")
    small_generation(home, frames=feeds(before))
    with running(Settings(home=home, env="test")) as api:
        held = {mode: whole(api, mode) for mode in MODES}
        small_generation(home, as_of=AS_OF + timedelta(hours=1), frames=feeds(after))
        api.refresh()
        for mode, (data, since) in held.items():
            delta = api.read(f"/v2/me/feed/delta?mode={mode}&since={since}", READER)
            assert_shape("FeedDelta", delta)
            assert not delta["is_full_resync"]
            assert applied(data, delta) == whole(api, mode)[0]
            unchanged = [item["item_id"] for item in data if item in whole(api, mode)[0]]
            assert not {item["item_id"] for item in delta["upserts"]} & set(unchanged), "sent though the client has it"


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """Two generations: of items 1, 2, 3 only 1 stays, and 4 is new; 2 has a tombstone."""
    home = tmp_path_factory.mktemp("moved")
    small_generation(home, frames=feeds([(1, 0, True), (2, 0, True), (3, 0, True)]))
    buried = [{"mode": "ranked", "item_id": f"{READER * 1000 + 2:016x}", "reason": "aged_out"}]
    later = feeds([(1, 0, True), (4, 0, True)]) | {"feed_tombstones": tombstones(buried)}
    with running(Settings(home=home, env="test")) as api:
        first = whole(api, "ranked")[1]
        small_generation(home, as_of=AS_OF + timedelta(hours=1), frames=later)
        api.refresh()
        yield api, first


def test_an_item_that_left_says_why_and_without_a_tombstone_claims_least(moved):
    api, first = moved
    delta = api.read(f"/v2/me/feed/delta?since={first}", READER)
    assert [gone["reason"] for gone in delta["removes"]] == ["aged_out", "displaced"]
    assert [item["object_id"] for item in delta["upserts"]] == ["1004"]


def test_the_generation_that_is_served_gives_an_empty_delta(moved):
    api, _ = moved
    now = whole(api, "ranked")[1]
    delta = api.read(f"/v2/me/feed/delta?since={now}", READER)
    assert (delta["upserts"], delta["removes"], delta["is_full_resync"]) == ([], [], False)


@pytest.mark.parametrize(
    "since",
    ["", "20200101T000000000000Z-000000000000", "../../etc", "CURRENT", "..", "%00", "x" * 65, "1" * 3000,
     "%F0%9F%90%88" * 200],
)  # fmt: skip
def test_a_generation_that_is_not_kept_means_everything_anew(moved, since):
    api, _ = moved
    delta = api.read(f"/v2/me/feed/delta?since={since}", READER)
    assert delta["is_full_resync"]
    assert (delta["upserts"], delta["removes"]) == (whole(api, "ranked")[0], [])


def test_a_user_who_is_not_in_the_generation_yet_is_building(moved):
    api, first = moved
    response = api.get(f"/v2/me/feed/delta?since={first}", UNKNOWN)
    assert response.headers["retry-after"] == "300"
    assert (response.json()["state"], response.json()["is_full_resync"]) == ("building", True)


def test_an_unchanged_delta_is_a_304(moved):
    api, first = moved
    path = f"/v2/me/feed/delta?since={first}"
    etag = api.get(path, READER).headers["etag"]
    assert api.get(path, READER, headers={"if-none-match": etag}).status_code == 304
