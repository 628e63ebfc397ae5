"""Paging laws (spec 06.2, 03.6; cases A11-A16): every item once, in order, whatever the sizes and the road."""

import base64
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.edge import MAX_URL_BYTES
from api.pages import by_member, by_newest, by_order, cut
from store.payloads import Cursor, write_cursor
from store.settings import RetentionSettings, Settings
from tests.support.api import (
    DORMANT,
    EMPTY,
    EXACT,
    ITEMS,
    ONE_MORE,
    READER,
    SUGGESTED,
    UNKNOWN,
    frames,
    published,
    running,
)
from tests.support.serving import AS_OF, feed_item, small_generation, table

FEED, CHRONOLOGICAL = "/v2/me/feed?mode=ranked", "/v2/me/feed?mode=chronological"
FRIENDS, DIGESTS = "/v2/me/recommendations/friends?", "/v2/me/digests?"
NAME = {FEED: "item_id", CHRONOLOGICAL: "item_id", FRIENDS: "candidate_id", DIGESTS: "digest_id"}


def page(api, path, user, **query):
    return api.read(path + "".join(f"&{k}={v}" for k, v in query.items() if v is not None), user)


def walk(api, path, user, limit, way="next_cursor", cursor=None):
    """Every page from ``cursor`` on, one way."""
    pages = [page(api, path, user, limit=limit, cursor=cursor)]
    while pages[-1][way] is not None:
        pages.append(page(api, path, user, limit=limit, cursor=pages[-1][way]))
        assert len(pages) < 200
    return pages


def names(path, pages):
    return [item[NAME[path]] for p in pages for item in p["data"]]


def test_a11_one_item_more_than_a_page_makes_a_second_page_of_one(api):
    first, second = walk(api, FEED, ONE_MORE, 20)
    assert (len(first["data"]), len(second["data"])) == (20, 1)
    found = names(FEED, [first, second])
    assert len(set(found)) == 21
    assert second["next_cursor"] is None


@pytest.mark.parametrize(("user", "limit"), [(EXACT, 20), (ONE_MORE, 21), (SUGGESTED, 2), (EMPTY, 3), (EMPTY, 20)])
def test_a12_a_page_that_holds_everything_has_no_cursor(api, user, limit):
    answer = page(api, FEED, user, limit=limit)
    assert len(answer["data"]) == ITEMS[user]
    assert (answer["next_cursor"], answer["prev_cursor"]) == (None, None)


@pytest.mark.parametrize("path", [FEED, CHRONOLOGICAL, FRIENDS, DIGESTS])
def test_a13_the_first_item_does_not_depend_on_the_limit(api, path):
    alone = page(api, path, READER, limit=1)["data"]
    assert alone == page(api, path, READER, limit=10)["data"][:1] == page(api, path, READER)["data"][:1]


@pytest.mark.parametrize("path", [FEED, CHRONOLOGICAL, FRIENDS])
def test_a14_walking_back_mirrors_walking_forth(api, path):
    forth = walk(api, path, READER, 3)
    assert len(forth) == 15
    assert len(set(names(path, forth))) == 45
    back = walk(api, path, READER, 3, "prev_cursor", forth[-1]["prev_cursor"])
    assert [p["data"] for p in back] == [p["data"] for p in reversed(forth[:-1])]
    assert back[-1]["prev_cursor"] is None
    assert page(api, path, READER, limit=3, cursor=back[0]["next_cursor"])["data"] == forth[-1]["data"]


@pytest.mark.parametrize("path", ["/v2/me/feed", "/v2/me/recommendations/friends", "/v2/me/digests"])
def test_a16_what_is_being_built_says_so_and_when_to_ask_again(api, path):
    user = DORMANT if path == "/v2/me/feed" else UNKNOWN
    response = api.get(path, user)
    assert (response.status_code, response.headers["retry-after"]) == (200, "300")
    assert (response.json()["state"], response.json()["data"]) == ("building", [])


def test_the_state_says_what_a_list_is(api):
    states = {user: page(api, FEED, user)["state"] for user in (READER, SUGGESTED, EMPTY)}
    assert states == {READER: "ready", SUGGESTED: "cold_start", EMPTY: "empty"}
    assert {user: page(api, FEED, user, limit=1)["state"] for user in states} == states


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from([FEED, CHRONOLOGICAL, FRIENDS, DIGESTS]),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=50),
)
def test_pages_of_any_sizes_make_the_whole_list_in_order(api, path, sizes):
    whole = names(path, walk(api, path, READER, 50))
    found, cursor, following = [], None, iter(sizes)
    while cursor is not None or not found:
        answer = page(api, path, READER, limit=next(following, 50), cursor=cursor)
        found += [item[NAME[path]] for item in answer["data"]]
        cursor = answer["next_cursor"]
    assert found == whole


def test_a_stored_first_page_leads_to_the_same_second_page_as_a_cut_one(api):
    stored, made = page(api, FEED, READER), page(api, FEED, READER, limit=19)
    rest = page(api, FEED, READER, limit=50, cursor=stored["next_cursor"])["data"]
    assert made["data"] + page(api, FEED, READER, limit=50, cursor=made["next_cursor"])["data"] == stored["data"] + rest


def test_sort_keys_ascend_and_have_one_width(api):
    for path in (FEED, CHRONOLOGICAL):
        keys = [item["sort_key"] for item in page(api, path, READER, limit=100)["data"]]
        assert keys == sorted(keys)
        assert len({len(key) for key in keys}) == 1


def test_digests_of_a_kind_are_paged_by_themselves(api):
    assert page(api, DIGESTS, READER, kind="weekly")["state"] == "empty"
    first = page(api, DIGESTS, READER, kind="daily", limit=5)
    assert len(names(DIGESTS, walk(api, DIGESTS + "kind=daily", READER, 5))) == 23
    refused = api.get(f"/v2/me/digests?cursor={first['next_cursor']}", READER)
    assert (refused.status_code, "kind=daily" in refused.json()["detail"]) == (400, True)


def refusals(api):
    cursor = page(api, FEED, READER, limit=2)["next_cursor"]
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    flipped = bytes([*raw[:30], raw[30] ^ 1, *raw[31:]])
    own = Cursor("feed", "ranked", READER, "20261122T141003000000Z-000000000000", True, 2, "x")
    return {
        "another mode": f"{CHRONOLOGICAL}&cursor={cursor}",
        "another list": f"{FRIENDS}cursor={cursor}",
        "flipped": f"{FEED}&cursor={base64.urlsafe_b64encode(flipped).rstrip(b'=').decode()}",
        "cut off": f"{FEED}&cursor={cursor[:-3]}",
        "not ours": f"{FEED}&cursor=!!!",
        "empty": f"{FEED}&cursor=",
        "longer than any of ours": f"{FEED}&cursor={cursor}{'A' * 2000}",
        "as long as a URL may be": f"{FEED}&cursor=".ljust(MAX_URL_BYTES, "a"),
        "no text of ours": f"{FEED}&cursor=%F0%9F%90%88%00",
        "another key": f"{FEED}&cursor={write_cursor(own, b'guessed')}",
        "padded": f"{FEED}&cursor={cursor}%3D%3D",
    }


def test_a_cursor_that_was_changed_or_issued_for_something_else_is_refused(api):
    for why, path in refusals(api).items():
        response = api.get(path, READER)
        assert response.status_code == 400, why
        assert response.json()["type"].endswith("/cursor-invalid"), why


def test_a_cursor_of_another_user_is_refused(api):
    cursor = page(api, FEED, READER, limit=2)["next_cursor"]
    assert api.get(f"{FEED}&cursor={cursor}", EMPTY).status_code == 400
    service = api.token("mailer", "service")
    own = api.request("GET", f"/v2/users/{READER}/feed?cursor={cursor}", token=service)
    assert own.status_code == 200, "a cursor is bound to whose list it is, not to who reads it"


def shifted(by):
    """The frames with ``by`` newer items on top of the reader's feed."""
    made = frames()
    rows = made["feed_items"].collect().to_dicts()
    moved = [row | {"position": row["position"] + by * (row["viewer_id"] == READER)} for row in rows]
    fresh = [
        feed_item(READER, mode, n, item_id=f"{0xF000 + n:016x}", score=20_000_000 - n, object_id=5000 + n)
        | {"last_activity_at": AS_OF + timedelta(minutes=30 - n), "lead_activity_id": 5000 + n}
        for mode in ("ranked", "chronological")
        for n in range(1, by + 1)
    ]
    made["feed_items"] = table("feed_items", sorted(fresh + moved, key=lambda r: r["position"]))
    return made


@pytest.mark.parametrize("path", [FEED, CHRONOLOGICAL])
def test_pages_stay_cut_from_the_generation_they_began_in(tmp_path, path):
    with published(tmp_path) as api:
        first = page(api, path, READER)
        whole = names(path, walk(api, path, READER, 50))
        small_generation(tmp_path, AS_OF + timedelta(hours=1), frames=shifted(4))
        api.refresh()
        assert page(api, path, READER)["generation"] != first["generation"]
        rest = walk(api, path, READER, 20, cursor=first["next_cursor"])
        assert {p["generation"] for p in rest} == {first["generation"]}
        assert names(path, [first, *rest]) == whole


def test_an_older_generation_does_not_bring_back_who_left(tmp_path):
    with published(tmp_path) as api:
        cursor = page(api, FEED, READER)["next_cursor"]
        made = frames()
        people = [row for row in made["staged_users"].collect().to_dicts() if row["id"] != READER]
        made["staged_users"] = table("staged_users", people)
        small_generation(tmp_path, AS_OF + timedelta(hours=1), frames=made)
        api.refresh()
        assert page(api, FEED, READER, cursor=cursor)["data"] == []


@pytest.mark.parametrize("path", [FEED, CHRONOLOGICAL])
def test_a_pruned_generation_is_continued_by_value(tmp_path, path):
    with published(tmp_path) as api:
        first = page(api, path, READER)
        whole = names(path, walk(api, path, READER, 50))
    keep_one = RetentionSettings(generations=1, generation_hours=0)
    small_generation(tmp_path, AS_OF + timedelta(hours=1), frames=shifted(4), retention=keep_one)
    with running(Settings(home=tmp_path)) as api:
        second = page(api, path, READER, cursor=first["next_cursor"])
        assert second["generation"] != first["generation"]
        assert second["prev_cursor"] is None, "there is no way back beyond the pinned generation"
        rest = walk(api, path, READER, 20, cursor=second["next_cursor"])
        assert names(path, [first, second, *rest]) == whole


@given(st.lists(st.integers(0, 99), unique=True), st.integers(0, 99), st.integers(1, 7), st.booleans())
def test_a_cut_by_value_continues_right_beside_the_value(values, beside, limit, is_forward):
    keys = [f"{value:02d}" for value in sorted(values)]
    cursor = Cursor("feed", "ranked", 1, "gone", is_forward, 0, f"{beside:02d}")
    where = cut(keys, range(len(keys)), cursor, limit, by_order)
    expected = [k for k in keys if (k > cursor.value if is_forward else k < cursor.value)]
    assert [keys[place] for place in where.places] == (expected[:limit] if is_forward else expected[-limit:])
    assert not where.has_before


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), unique=True), st.integers(0, 5), st.integers(0, 5))
def test_digests_continue_by_due_and_id(pairs, due, digest_id):
    ordered = sorted(pairs, key=lambda p: (-p[0], p[1]))
    keys = [f"{d}|{i}" for d, i in ordered]
    forward = Cursor("digests", "", 1, "gone", True, 0, f"{due}|{digest_id}")
    after = [k for k, p in zip(keys, ordered, strict=True) if (-p[0], p[1]) > (-due, digest_id)]
    assert keys[by_newest(keys, forward) :] == after
    backward = Cursor("digests", "", 1, "gone", False, 0, forward.value)
    before = [k for k, p in zip(keys, ordered, strict=True) if (-p[0], p[1]) < (-due, digest_id)]
    assert keys[: by_newest(keys, backward)] == before


def test_a_ranked_list_continues_beside_the_same_person_or_at_the_same_place():
    keys = ["7", "3", "9", "1"]
    assert by_member(keys, Cursor("friend_recommendations", "", 1, "gone", True, 1, "9")) == 3
    assert by_member(keys, Cursor("friend_recommendations", "", 1, "gone", False, 1, "9")) == 2
    assert by_member(keys, Cursor("friend_recommendations", "", 1, "gone", True, 2, "5")) == 2
    assert by_member(keys, Cursor("friend_recommendations", "", 1, "gone", True, 20, "5")) == 4
