"""Who may revoke a feed item: its guards (spec 06.1), from the activities it stands on.

Lives here: what a guard is, and the columns the compiled loop reads. Does not belong here: the items' JSON
(``feed``), how guards are stored (``rows``), what a revocation withholds (``api``). Pure.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.published.encoding import frozen, list_buffers, list_series
from assets.published.guard_kernels import (
    IS_INNER,
    IS_OBJECT_INNER,
    NAMES_SOMEBODY,
    TYPE_SHIFT,
    UNKNOWN,
    WORDS,
    Activities,
    Chains,
    Items,
    Lists,
    chained,
    guard_rows,
)
from assets.published.kernels import Longs
from assets.published.rows import GUARDS
from quality.feed import OBJECT_TYPES, VERBS

ReplyRule = Literal["friends", "all"]
VERB, OBJECT_TYPE = pl.Enum(VERBS), pl.Enum(OBJECT_TYPES)
_BODIES: Final = ("post", "comment")
"""Object types that an activity of their own made (01.1)."""
_ACTIVITY: Final = (
    "id", "actor_id", "verb", "object_type", "object_id", "object_owner_id", "reply_to_user_id",
    "mentioned_user_ids", "group_id", "audience", "object_audience", "created_at",
)  # fmt: skip
_FACTS: Final = ("id", "actor_id", "reply_to_user_id", "group_id", "owner_id", "object_id", "created_at")
"""In the order of the kernels' columns; the last of those holds the words."""
_NOBODY: Final = -1
_ROOM: Final = 64


def feed_guards(items: pl.DataFrame, activities: pl.LazyFrame, reply_rule: ReplyRule = "friends") -> pl.DataFrame:
    """Per item: every principal of 03.1 that is known here, the groups, the activities it stands on, the circle.

    Principals: lead and sampled actors, the owner, and the replied-to and mentioned of the activities it stands
    on; the owner of what the object's own activity is about; a user who is the object. An item stands on its lead
    activity, the object's own activity, and what each sampled actor did. Circle: the actors and the owner of what
    is not public; whom a reply is to, if being their friend is why it is shown.
    """
    acts = _activities(items, activities)
    ids, cuts = _guard_ids(acts, _items(items), is_friends_rule=reply_rule == "friends")
    return pl.DataFrame([list_series(*each) for each in zip(GUARDS, ids, cuts, strict=True)])


def _guard_ids(acts: Activities, items: Items, *, is_friends_rule: bool) -> tuple[Lists, Lists]:
    """Per item the ids of users, groups, activities and circle, ascending; the cuts."""
    rows, row, chains = items.viewer.size, 0, Chains(*chained(acts.facts))
    users, groups, things, inner = (np.empty(many * rows + _ROOM, dtype=np.int64) for many in (4, 1, 2, 1))
    cuts: Lists = tuple(np.zeros(rows + 1, dtype=np.int64) for _ in GUARDS)  # type: ignore[assignment]
    while True:
        ids = users, groups, things, inner
        row = guard_rows(acts, chains, items, is_friends_rule, row, ids, cuts)
        used = [int(each[row]) for each in cuts]
        if row == rows:
            return tuple(each[:size] for each, size in zip(ids, used, strict=True)), cuts  # type: ignore[return-value]
        users, groups, things, inner = map(_grown, ids, used)


def _grown(ids: Longs, used: int) -> Longs:
    grown = np.empty(2 * ids.size, dtype=np.int64)
    grown[:used] = ids[:used]
    return grown


def _items(items: pl.DataFrame) -> Items:
    sampled, cuts = _ids(items["sample_actor_ids"])
    return Items(
        viewer=_numbers(items["viewer_id"]),
        lead=_numbers(items["lead_activity_id"]),
        lead_actor=_numbers(items["lead_actor_id"]),
        owner=_numbers(items["object_owner_id"]),
        object=_numbers(items["object_id"]),
        verb=_codes(items["verb"], VERB),
        type=_codes(items["object_type"], OBJECT_TYPE),
        actor_count=_numbers(items["actor_count"]),
        first_at=_numbers(items["first_activity_at"]),
        last_at=_numbers(items["last_activity_at"]),
        sampled=sampled,
        sampled_cuts=cuts,
    )


def _activities(items: pl.DataFrame, activities: pl.LazyFrame) -> Activities:
    """The activities that any of the items may stand on."""
    acts = activities.select(_ACTIVITY)
    is_body = pl.col("object_type").is_in(_BODIES)
    wanted = pl.concat([items["lead_activity_id"], items.filter(is_body)["object_id"]])
    several = items.filter(pl.col("actor_count") > 1)["object_id"]
    is_wanted = pl.col("id").is_in(wanted.implode()) | pl.col("object_id").is_in(several.implode())
    found = _with_owner(acts.filter(is_wanted).collect(), acts)
    mentioned, cuts = _ids(found["mentioned_user_ids"])
    facts = np.empty((found.height, len(_FACTS) + 1), dtype=np.int64)
    for column, name in enumerate(_FACTS):
        facts[:, column] = _numbers(found[name])
    words = _codes(found["verb"], VERB) + (_codes(found["object_type"], OBJECT_TYPE).astype(np.int64) << TYPE_SHIFT)
    for name, flag in (("audience", IS_INNER), ("object_audience", IS_OBJECT_INNER)):
        words += found[name].ne_missing("public").to_numpy() * flag
    words += (np.diff(cuts) > 0) * NAMES_SOMEBODY
    facts[:, WORDS] = words
    return Activities(facts, mentioned, cuts)


def _with_owner(found: pl.DataFrame, acts: pl.LazyFrame) -> pl.DataFrame:
    """``owner_id`` of each activity's object: who made it, where that is known, else whom the app names."""
    made = (
        acts.filter(pl.col("id").is_in(found["object_id"].unique().implode()))
        .select(pl.col("id").alias("object_id"), pl.col("verb").alias("object_type"), pl.col("actor_id").alias("maker"))
        .collect()
    )
    return found.join(made, on=["object_id", "object_type"], how="left", maintain_order="left").with_columns(
        pl.coalesce("maker", "object_owner_id").alias("owner_id")
    )


def _numbers(column: pl.Series) -> Longs:
    """Ids and instants as they lie in memory; null is nobody."""
    numbers: Longs = frozen(column.to_physical().fill_null(_NOBODY).to_numpy())
    return numbers


def _ids(lists: pl.Series) -> tuple[Longs, Longs]:
    """The ids of all lists end to end, null is nobody; and the cuts."""
    cuts, ids, present = list_buffers(lists)
    return (frozen(np.where(present, ids, _NOBODY)) if present.size else ids), cuts


def _codes(words: pl.Series, vocabulary: pl.Enum) -> npt.NDArray[np.uint8]:
    codes = words.cast(vocabulary, strict=False).to_physical().fill_null(UNKNOWN).to_numpy()
    return frozen(codes)  # type: ignore[no-any-return]
