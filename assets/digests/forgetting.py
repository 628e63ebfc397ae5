"""Forgetting: the erased leave the digests other people were sent.

A digest that stands in the history keeps its bytes for ever, with one exception: a person who
asked to be erased (01.4) is taken out of its ids, and a line that named them is said again
without the name. Their own digests are dropped before this.
"""

from __future__ import annotations

import hashlib
from typing import Any

import polars as pl
from markupsafe import escape

from assets.digests.letters import names_of
from assets.digests.phrases import language_of
from assets.digests.sentences import Told, sentence

_NAMED = 2
"""Actors a sentence names at most."""


def forget(history: pl.DataFrame, erasures: pl.LazyFrame, users: pl.LazyFrame, places: pl.LazyFrame) -> pl.DataFrame:
    """`digest_history` without any trace of the erased; the same frame when it holds none."""
    gone = set(erasures.select("user_id").collect()["user_id"].to_list())
    named = history.lazy().select("digest_id", "groups").explode("groups", empty_as_null=False).unnest("groups")
    touched = (
        named.select("digest_id", "principal_ids")
        .explode("principal_ids", empty_as_null=False)
        .filter(pl.col("principal_ids").is_in(list(gone)))
        .select("digest_id")
        .unique()
    )
    old = history.lazy().join(touched, on="digest_id", how="semi").collect()
    if old.is_empty():
        return history
    groups = old.explode("groups", empty_as_null=False).unnest("groups", separator=".")
    ids = pl.concat([groups["user_id"], groups["groups.owner_id"], groups["groups.sample_actor_ids"].explode()])
    people = names_of(users, ids, "display_name")
    locales = names_of(users, old["user_id"], "locale")
    named_places = names_of(places, groups["groups.object_id"], "name")
    rows = [_without(row, gone, people, named_places, locales) for row in old.iter_rows(named=True)]
    kept = history.join(old.select("digest_id"), on="digest_id", how="anti")
    return pl.concat([kept, pl.DataFrame(rows, schema=history.schema, orient="row")])


def _without(
    row: dict[str, Any],
    gone: set[int],
    people: dict[int, str],
    places: dict[int, str],
    locales: dict[int, str],
) -> dict[str, Any]:
    """One digest with the erased taken out of ids, lines and bodies, under a new content_hash."""
    text, html = row["text"], row["html"]
    groups = []
    for group in row["groups"]:
        said = _said_again(group, row["user_id"], gone, people, places, locales)
        text = text.replace(group["text"], said)
        html = html.replace(str(escape(group["text"])), str(escape(said)))
        groups.append(
            group
            | {
                "text": said,
                "sample_actor_ids": [actor for actor in group["sample_actor_ids"] if actor not in gone],
                "principal_ids": [person for person in group["principal_ids"] if person not in gone],
                "owner_id": None if group["owner_id"] in gone else group["owner_id"],
                "object_id": None if _is_person(group, gone) else group["object_id"],
                "group_key": f"{group['verb']}|user|" if _is_person(group, gone) else group["group_key"],
            }
        )
    content = hashlib.sha256("\0".join((row["subject"], text, html)).encode()).hexdigest()
    return row | {"groups": groups, "text": text, "html": html, "content_hash": content}


def _is_person(group: dict[str, Any], gone: set[int]) -> bool:
    return group["object_type"] == "user" and group["object_id"] in gone


def _said_again(
    group: dict[str, Any],
    reader_id: int,
    gone: set[int],
    people: dict[int, str],
    places: dict[int, str],
    locales: dict[int, str],
) -> str:
    """The group's line; word for word the old one unless it named somebody who is gone."""
    if not gone.intersection([*group["sample_actor_ids"][:_NAMED], group["owner_id"]]):
        return str(group["text"])
    told = Told(
        category=group["category"],
        verb=group["verb"],
        object_type=group["object_type"],
        reader_id=reader_id,
        owner_id=group["owner_id"],
        owner_name=people.get(group["owner_id"]),
        group_name=places.get(group["object_id"]),
        actor_count=group["actor_count"],
        actor_ids=group["sample_actor_ids"],
        actor_names=[None if actor in gone else people.get(actor) for actor in group["sample_actor_ids"]],
        item_count=group["item_count"],
    )
    return sentence(told, language_of(locales.get(reader_id, "")))
