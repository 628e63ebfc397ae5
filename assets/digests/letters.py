"""Letters: gathers, for the digests built in a run, what rendering needs, and renders them.

The join of settled rows with names; no words and no rules of settling live here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from assets.digests.phrases import language_of
from assets.digests.rendering import Letter, Story, render
from assets.digests.sentences import Told

_BODY = {"digest_id": pl.String, "subject": pl.String, "content_hash": pl.String, "text": pl.String, "html": pl.String}
_TEXT = {"digest_id": pl.String, "rank": pl.Int64, "text": pl.String}


def names_of(frame: pl.LazyFrame, ids: pl.Series, column: str) -> dict[int, str]:
    """Id to name of the wanted ids only."""
    wanted = pl.LazyFrame({"id": ids.drop_nulls().unique()}, schema={"id": pl.Int64})
    return dict(frame.join(wanted, on="id", how="semi").select("id", column).collect().iter_rows())


def _story(group: Mapping[str, Any], reader_id: int, people: Mapping[int, str], places: Mapping[int, str]) -> Story:
    told = Told(
        category=group["category"],
        verb=group["verb"],
        object_type=group["object_type"],
        reader_id=reader_id,
        owner_id=group["owner_id"],
        owner_name=people.get(group["owner_id"]),
        group_name=places.get(group["object_id"]) if group["object_type"] == "group" else None,
        actor_count=group["actor_count"],
        actor_ids=group["sample_actor_ids"],
        actor_names=[people.get(actor) for actor in group["sample_actor_ids"]],
        item_count=group["item_count"],
        feature_key=group["feature_key"],
        threshold_percent=group["threshold_percent"],
    )
    return Story(told, group["body"], group["last_activity_at"])


def written(
    built: pl.DataFrame, groups: pl.DataFrame, items: pl.DataFrame, users: pl.LazyFrame, places: pl.LazyFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Bodies (digest_id, subject, content_hash, text, html) and group texts (digest_id, rank, text).

    ``built``: settled rows with their reader's locale and name; ``groups`` the rendered ones;
    ``items`` all eligible ones; ``users`` and ``places`` name people and groups.
    """
    ids = pl.concat([groups["sample_actor_ids"].explode(empty_as_null=False), groups["owner_id"]])
    people = names_of(users, ids, "display_name")
    named = names_of(places, groups.filter(pl.col("object_type") == "group")["object_id"], "name")
    stories: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for group in groups.sort("digest_id", "rank").iter_rows(named=True):
        stories.setdefault(group["digest_id"], []).append((group["rank"], group))
    verbs: dict[str, dict[str, int]] = {}
    for digest_id, verb, count in items.group_by("digest_id", "verb").len().sort("digest_id", "verb").iter_rows():
        verbs.setdefault(digest_id, {})[verb] = count
    bodies: list[tuple[str, ...]] = []
    texts: list[tuple[str, int, str]] = []
    for row in built.sort("digest_id").iter_rows(named=True):
        mine = stories.get(row["digest_id"], [])
        letter = Letter(
            reader_name=row["display_name"],
            language=language_of(row["locale"]),
            zone=row["zone"],
            kind=row["kind"],
            local_time=row["local_time"],
            due=row["due_at"],
            more_count=row["more_count"],
            verb_counts=verbs[row["digest_id"]],
            stories=[_story(group, row["user_id"], people, named) for _, group in mine],
        )
        page = render(letter)
        bodies.append((row["digest_id"], page.subject, page.content_hash, page.text, page.html))
        texts.extend((row["digest_id"], rank, text) for (rank, _), text in zip(mine, page.group_texts, strict=True))
    return pl.DataFrame(bodies, schema=_BODY, orient="row"), pl.DataFrame(texts, schema=_TEXT, orient="row")
