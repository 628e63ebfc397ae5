"""Which candidates are shown: k rows a viewer, the exposure cap, popular people where rows lack.

Outside friends-of-friends a candidate is shown to at most `exposure_cap` viewers, kept by (score
desc, viewer asc); whoever loses a candidate goes on to the next (02, 2.3). Lives here: the cap's
rule, the shelves of the popular, ranks. Does not belong here: how scores come about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from assets.friends.config import POPULAR_COUNTRY_BONUS, POPULAR_DEGREE_LIMIT
from assets.friends.filling import CAPPED, CHOSEN, assign, by_score, in_lists
from assets.friends.graph import PAIR, Flags, Index, Ints, People, Rows
from assets.friends.sources import World
from store.settings import FriendsSettings

LEVELS = POPULAR_DEGREE_LIMIT + 1


@dataclass(frozen=True)
class Selection:
    """What was shown: ``viewer, candidate, score, pagerank_micro, is_filled``; and what was listed but not shown."""

    shown: pl.DataFrame
    beyond_k: int
    capped: int


def exposure_cap(who: People, config: FriendsSettings) -> int:
    """``max(50, ceil(users / 200), ceil(2 k viewers / showable users))`` unless the setting says otherwise."""
    if config.exposure_cap is not None:
        return config.exposure_cap
    showable, viewers = max(int(who.is_showable.sum()), 1), int(who.is_viewer.sum())
    return max(50, -(-who.size // 200), -(-2 * config.k * viewers // showable))


def select(listed: pl.DataFrame, world: World, config: FriendsSettings, is_short: Flags) -> Selection:
    """One global pass over ``listed`` (``viewer, candidate, score, mutual_count, is_near``) and the popular.

    ``is_short``: the viewers whom the popular may fill, if that source is on.
    """
    who, friends, barred = world.who, world.friends, world.filtered.barred
    listed = by_viewer(listed)
    keys = keys_of(listed)
    order = by_score(keys[2], in_lists(*keys)[0])
    viewer, candidate, score = keys[0][order], keys[1][order], keys[2][order]
    room = np.where(who.is_viewer, config.k, 0).astype(np.int64)
    waits = is_short & ("popular" in config.sources)
    # Only the lists of those whom the popular may fill are asked who is in them.
    asked = waits[viewer]
    own = Rows.of(viewer[asked], candidate[asked], who.size, who.size)
    verdict, pairs, scores = assign(
        viewer, candidate, score, listed["is_near"].to_numpy()[order],
        room, exposure_cap(who, config), np.flatnonzero(waits).astype(np.int32), who.country, POPULAR_COUNTRY_BONUS,
        LEVELS, *shelves(who, friends.sizes),
        own.ptr, own.idx, friends.ptr, friends.idx, barred.ptr, barred.idx,
    )  # fmt: skip
    chosen = listed.select(*PAIR, "score", "pagerank_micro")[order[verdict == CHOSEN]].with_columns(
        is_filled=pl.lit(value=False)
    )
    filled = pl.DataFrame(
        {"viewer": pairs[:, 0].copy(), "candidate": pairs[:, 1].copy(), "score": scores},
        schema={**PAIR, "score": pl.Int64},
    ).with_columns(pagerank_micro=pl.lit(None, dtype=pl.Int64), is_filled=pl.lit(value=True))
    capped = int((verdict == CAPPED).sum())
    return Selection(pl.concat([chosen, filled]), listed.height - chosen.height - capped, capped)


def shelves(who: People, degrees: Ints) -> tuple[Ints, Index, Ints, Ints]:
    """The showable people by (country, degree up to the limit), and by degree alone: see `filling`."""
    people = np.flatnonzero(who.is_showable)
    level = np.minimum(degrees[people], POPULAR_DEGREE_LIMIT)
    at_home = who.country[people] >= 0
    everywhere = (int(who.country.max(initial=-1)) + 1) * LEVELS
    rows = np.concatenate([who.country[people[at_home]].astype(np.int64) * LEVELS + level[at_home], everywhere + level])
    held = Rows.of(rows, np.concatenate([people[at_home], people]), everywhere + LEVELS, who.size)
    place = np.full((who.size, 2), -1, dtype=np.int64)
    home_count = int(at_home.sum())
    place[held.idx[:home_count], 0] = np.arange(home_count)
    place[held.idx[home_count:], 1] = np.arange(home_count, held.idx.size)
    return held.ptr, held.idx, np.arange(held.idx.size + 1, dtype=np.int64), place


def ranked(rows: pl.DataFrame) -> pl.DataFrame:
    """``rank`` 1 ... n by (score desc, mutual_count desc, candidate asc) within the viewer."""
    rows = by_viewer(rows)
    order, rank = in_lists(*keys_of(rows))
    return rows[order].with_columns(pl.Series("rank", rank))


def by_viewer(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with those of a viewer together, viewers ascending."""
    return rows if rows["viewer"].is_sorted() else rows.sort("viewer")


def keys_of(rows: pl.DataFrame) -> tuple[Index, Index, Ints, Ints]:
    """What `in_lists` orders by."""
    viewer, candidate, score, mutual = (rows[name].to_numpy(writable=True) for name in (*PAIR, "score", "mutual_count"))
    return viewer, candidate, score, mutual
