"""Guards of random feeds and the JSON of numbers, against plain reading of the rules, one item at a time."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.published.encoding import json_texts
from assets.published.feed import feed_list
from assets.published.guards import ReplyRule
from assets.published.rows import GUARDS
from quality.feed import OBJECT_TYPES, VERBS
from tests.support.serving import AS_OF, feed_item, table

few = st.integers(0, 7)
hours = st.integers(0, 5).map(lambda n: AS_OF - timedelta(hours=n))
activity = st.fixed_dictionaries(
    {
        "actor_id": few,
        "verb": st.sampled_from(VERBS),
        "object_type": st.sampled_from(OBJECT_TYPES),
        "object_id": few,
        "object_owner_id": st.none() | few,
        "reply_to_user_id": st.none() | few,
        "mentioned_user_ids": st.lists(few | st.none(), max_size=40),
        "group_id": st.none() | few,
        "audience": st.sampled_from(["public", "friends", "only_me"]),
        "object_audience": st.sampled_from(["public", "friends"]),
        "created_at": hours,
    }
)
card = st.fixed_dictionaries(
    {
        "verb": st.sampled_from(VERBS),
        "object_type": st.sampled_from(OBJECT_TYPES),
        "object_id": few,
        "object_owner_id": st.none() | few,
        "lead_activity_id": st.integers(0, 9),
        "lead_actor_id": few,
        "actor_count": st.integers(1, 3),
        "sample_actor_ids": st.lists(few, max_size=3),
        "first_activity_at": hours,
        "last_activity_at": hours,
    }
)
Row = dict[str, Any]


def guards_by_the_rules(item: Row, acts: dict[int, Row], rule: ReplyRule) -> list[list[int]]:
    """``GUARDS`` of an item, read off spec 03.1 and 06.1 without an index."""
    is_body = item["object_type"] in ("post", "comment")
    lead, own = acts.get(item["lead_activity_id"]), acts.get(item["object_id"]) if is_body else None
    told = (item["verb"], "reshare") if item["verb"] == "post" else (item["verb"],)
    deeds = [] if item["actor_count"] == 1 else [
        act for act in acts.values()
        if (act["object_type"], act["object_id"]) == (item["object_type"], item["object_id"])
        and act["actor_id"] in item["sample_actor_ids"] and act["verb"] in told
        and item["first_activity_at"] <= act["created_at"] <= item["last_activity_at"]
    ]  # fmt: skip
    known = [act for act in (lead, own, *deeds) if act is not None]
    owner, viewer = item["object_owner_id"], item["viewer_id"]
    users = {item["lead_actor_id"], owner, *item["sample_actor_ids"]}
    users |= {item["object_id"]} if item["object_type"] == "user" else set()
    users |= {id_ for act in known for id_ in (act["actor_id"], act["reply_to_user_id"], *act["mentioned_user_ids"])}
    if own is not None:
        made = acts.get(own["object_id"])
        is_made = made is not None and made["verb"] == own["object_type"]
        users |= {made["actor_id"] if made is not None and is_made else own["object_owner_id"]}
    groups = {act["group_id"] for act in known} | ({item["object_id"]} if item["object_type"] == "group" else set())
    objects = {item["lead_activity_id"], *(act["id"] for act in deeds)} | ({item["object_id"]} if is_body else set())
    circle: set[int | None] = set()
    if lead is None:
        circle |= {item["lead_actor_id"], owner}
    if is_body and (own is None or own["audience"] != "public"):
        circle |= {owner}
    for act, actor in [(lead, item["lead_actor_id"]), *((deed, deed["actor_id"]) for deed in deeds)]:
        if act is not None:
            circle |= {actor} if act["audience"] != "public" else set()
            circle |= {owner} if act["object_audience"] != "public" else set()
            circle |= {act["reply_to_user_id"]} if rule == "friends" and viewer not in (
                actor, act["reply_to_user_id"]) else set()  # fmt: skip
    return [sorted(ids - {None}) for ids in (users, groups, objects, circle)]  # type: ignore[type-var]


@given(
    st.lists(activity, max_size=9),
    st.lists(card, max_size=12).map(lambda cards: cards * 7),
    st.sampled_from(["friends", "all"]),
    st.randoms(),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_guards_are_those_of_the_rules_whatever_order_items_come_in(
    acts: list[Row], cards: list[Row], rule: Any, random: Any
) -> None:
    numbered = {n: {"id": n, **act} for n, act in enumerate(acts)}
    items = [feed_item(1 + n % 3, "ranked", n, **each) for n, each in enumerate(cards)]
    mixed = list(items)
    random.shuffle(mixed)
    made = feed_list(table("feed_items", mixed), table("staged_activities", list(numbered.values())), "ranked", rule)
    ordered = sorted(items, key=lambda item: (item["viewer_id"], item["position"]))
    found = [list(row) for row in made.select(GUARDS).iter_rows()]
    assert found == [guards_by_the_rules(item, numbered, rule) for item in ordered]


def test_more_guards_than_room_was_made_for_are_all_there() -> None:
    acts = [{"id": n, "actor_id": 9, "verb": "post", "object_type": "post", "object_id": n, "audience": "public",
             "object_audience": "public", "mentioned_user_ids": list(range(n, n + 700)), "created_at": AS_OF}
            for n in range(80)]  # fmt: skip
    # More items than are looked up at once; their own activities are not always their leads, their actors not as many.
    items = [
        feed_item(1, "ranked", n, lead_activity_id=n, object_id=n * 7 % 80, actor_count=1 + n % 5,
                  sample_actor_ids=list(range(9, 9 + n % 5)), first_activity_at=AS_OF, last_activity_at=AS_OF)
        for n in range(80)
    ]  # fmt: skip
    made = feed_list(table("feed_items", items), table("staged_activities", acts), "ranked")
    numbered = {act["id"]: {"object_owner_id": None, "reply_to_user_id": None, "group_id": None, **act} for act in acts}
    assert [list(row) for row in made.select(GUARDS).iter_rows()] == [
        guards_by_the_rules(item, numbered, "friends") for item in items
    ]


any_number = st.integers(-(2**63), 2**63 - 1)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
any_row = st.tuples(
    any_number | st.none(),
    any_number | st.none(),
    st.lists(any_number, max_size=3),
    any_text | st.none(),
    st.none() | st.sampled_from(OBJECT_TYPES),
    st.booleans() | st.none(),
)


@given(st.lists(any_row, max_size=9))
@settings(max_examples=50, deadline=None)
def test_json_reads_back_as_the_row_it_was_made_of(rows: list[tuple[Any, ...]]) -> None:
    kinds = {"n": pl.Int64, "n_id": pl.Int64, "ids": pl.List(pl.Int64), "a_rather_long_name_of_a_field_that_is_text":
             pl.String, "word": pl.Enum(OBJECT_TYPES), "is_so": pl.Boolean}  # fmt: skip
    texts = json_texts(pl.DataFrame(rows, schema=kinds, orient="row"))
    for text, (number, id_, ids, words, word, is_so) in zip(texts, rows, strict=True):
        values = (number, None if id_ is None else str(id_), [str(each) for each in ids], words, word, is_so)
        expected = dict(zip(kinds, values, strict=True))
        assert json.loads(text) == expected
        assert text == json.dumps(expected, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize(
    ("column", "error"),
    [
        (pl.Series("at", [date(2026, 1, 1)]), TypeError),
        (pl.Series("n", [2**63], dtype=pl.UInt64), TypeError),
        (pl.Series("at", [AS_OF], dtype=pl.Datetime("ms", "UTC")), TypeError),
        (pl.Series("x", [0.5]), TypeError),
        (pl.Series("w", ["a" * 30], dtype=pl.Enum(["a" * 30])), ValueError),
    ],
)
def test_what_the_compiled_loop_does_not_know_is_refused(column: pl.Series, error: type[Exception]) -> None:
    with pytest.raises(error):
        json_texts(pl.DataFrame([column]))


def test_two_columns_of_two_hundred_words_each_keep_their_own() -> None:
    words = [[f"{name}{n}" for n in range(200)] for name in "ab"]
    frame = pl.DataFrame(
        {name: pl.Series([each[199]], dtype=pl.Enum(each)) for name, each in zip("xy", words, strict=True)}
    )
    assert json_texts(frame).to_list() == ['{"x":"a199","y":"b199"}']
