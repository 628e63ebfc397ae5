"""The payload package: texts, keys and cursors the builder and the API share (spec 06.2)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.payloads import (
    Cursor,
    CursorInvalid,
    chronological_sort_key,
    etag_of,
    instant_text,
    kept_key,
    ranked_sort_key,
    read_cursor,
    write_cursor,
)

INSTANTS = st.datetimes(timezones=st.just(UTC))
RANKED = st.tuples(st.booleans(), st.integers(-(2**61), 2**61), INSTANTS, st.integers(0, 2**64 - 1))
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="|"), max_size=20)


@given(RANKED, RANKED)
def test_ranked_keys_ascend_in_the_order_of_the_feed(a, b):
    def key(item):
        suggested, score, at, item_id = item
        return ranked_sort_key(is_suggested=suggested, score=score, last_activity_at=at, item_id=f"{item_id:016x}")

    def order(item):
        suggested, score, at, item_id = item
        return suggested, -score, datetime.max.replace(tzinfo=UTC) - at, item_id

    assert (key(a) < key(b)) == (order(a) < order(b))
    assert len(key(a)) == len(key(b))


@given(st.tuples(INSTANTS, st.integers(0, 2**63 - 1)), st.tuples(INSTANTS, st.integers(0, 2**63 - 1)))
def test_chronological_keys_ascend_from_newest_to_oldest(a, b):
    def key(item):
        return chronological_sort_key(last_activity_at=item[0], lead_activity_id=item[1])

    def order(item):
        return datetime.max.replace(tzinfo=UTC) - item[0], item[1]

    assert (key(a) < key(b)) == (order(a) < order(b))
    assert len(key(a)) == len(key(b))


def test_a_score_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        ranked_sort_key(is_suggested=False, score=2**62, last_activity_at=datetime.now(UTC), item_id="0" * 16)


@given(
    st.builds(
        Cursor,
        resource=st.sampled_from(["feed", "friend_recommendations", "digests"]),
        variant=TEXT,
        user_id=st.integers(0, 2**63 - 1),
        generation=TEXT,
        is_forward=st.booleans(),
        position=st.integers(0, 10_000),
        value=st.text(max_size=60),
    )
)
def test_a_cursor_reads_as_it_was_written_with_any_key_still_listed(cursor):
    text = write_cursor(cursor, b"old")
    assert read_cursor(text, [b"new", b"old"]) == cursor
    with pytest.raises(CursorInvalid):
        read_cursor(text, [b"new"])


@given(st.data())
def test_no_changed_character_of_a_cursor_is_accepted(data):
    text = write_cursor(Cursor("feed", "ranked", 42, "g", True, 20, "k"), b"key")
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != text[at]))
    with pytest.raises(CursorInvalid):
        read_cursor(text[:at] + other + text[at + 1 :], [b"key"])


@given(st.text(max_size=80))
def test_no_text_makes_reading_a_cursor_fail_otherwise(text):
    with pytest.raises(CursorInvalid):
        read_cursor(text, [b"key"])


def test_instants_are_utc_with_microseconds():
    berlin = timezone(timedelta(hours=1))
    assert instant_text(datetime(2026, 3, 1, 1, 2, 3, tzinfo=berlin)) == "2026-03-01T00:02:03.000000Z"
    assert instant_text(datetime(999, 3, 1, tzinfo=UTC)) == "0999-03-01T00:00:00.000000Z"
    with pytest.raises(ValueError, match="time zone"):
        instant_text(datetime(2026, 3, 1))  # noqa: DTZ001


def test_an_entity_tag_is_over_data_and_state():
    assert etag_of(b"[]", "empty") != etag_of(b"[]", "building") != etag_of(b"[1]", "building")
    assert len(etag_of(b"[]", "empty")) == 16


def test_a_kept_key_is_made_once_and_stays(tmp_path):
    key = kept_key(tmp_path, "cursor")
    assert kept_key(tmp_path, "cursor") == key
    assert kept_key(tmp_path, "other") != key
    assert len(key) == 32
    assert [p.name for p in (tmp_path / "secrets").iterdir() if p.name.startswith(".")] == []


def test_a_damaged_key_file_is_named(tmp_path):
    kept_key(tmp_path, "cursor")
    (tmp_path / "secrets" / "cursor.key").write_text("short")
    with pytest.raises(ValueError, match=r"cursor\.key"):
        kept_key(tmp_path, "cursor")
