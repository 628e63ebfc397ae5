"""What the page shows of a generation and of one person in it, in words.

A generation holds ids, counts and reasons, no names and no texts: people are told by their ids here;
``flowforge explain`` names them. Does not belong here: HTML, who may look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.explorer.plots import Bar, Line, line, scale_of
from api.withholding import Withholding
from store.payloads.base import State
from store.payloads.feed_words import Teller
from store.payloads.sorting import score_of
from store.payloads.words import REMOVED, SCORE_PARTS, STATES, entitlement_line, recommendation_line
from store.serving import Dataset, Generation, GenerationEntry, GenerationInfo


@dataclass(frozen=True)
class Served:
    """A generation, and what is withheld of it at read."""

    generation: Generation
    withholding: Withholding


FIRST: Final = 20
"""Items of a list that are shown until all are asked for."""


@dataclass(frozen=True)
class Listed:
    """One list of one person: its state, the rows shown, and how many there are."""

    state: State
    means: str
    rows: Sequence[Mapping[str, Any]]
    total: int
    as_of: str | None = None
    """Only of a list that was carried over."""


@dataclass(frozen=True)
class Plot:
    """One figure over the generations that are kept."""

    title: str
    line: Line
    values: tuple[int, ...]
    labels: tuple[str, ...]

    @property
    def said(self) -> str:
        """The plot in one sentence."""
        if len(self.values) == 1:
            return f"{self.title}: {self.values[0]:,}; one generation is kept"
        return f"{self.title}: from {self.values[0]:,} to {self.values[-1]:,} over {len(self.values)} generations"


def plots(entries: Sequence[GenerationEntry]) -> list[Plot]:
    """The figures of every generation that is kept, oldest first."""
    published = sorted((e.info.as_of, e.published_at, e.info.id) for e in entries if e.published_at is not None)
    info_of = {entry.info.id: entry.info for entry in entries}
    kept = [info_of[generation_id] for _, _, generation_id in published]
    figures: Mapping[str, Callable[[GenerationInfo], int]] = {
        "people with a feed": lambda info: _rows(info, "feed"),
        "people with recommendations": lambda info: _rows(info, "friend_recommendations"),
        "digests of 90 days": lambda info: _rows(info, "digest_details"),
        "people with limits": lambda info: _rows(info, "entitlements"),
        "rows filtered on the way": lambda info: sum(info.counts.filtered.values()),
        "rows rejected": lambda info: info.counts.rejected,
    }
    labels = tuple(f"{info.as_of:%Y-%m-%d %H:%M}" for info in kept)
    made = {title: tuple(figure(info) for info in kept) for title, figure in figures.items()}
    return [Plot(title, line(values), values, labels) for title, values in made.items() if values]


def _rows(info: GenerationInfo, dataset: str) -> int:
    return next((d.rows for d in info.datasets if d.name == dataset), 0)


def removals(generation: Generation) -> list[tuple[str, str, str, int]]:
    """``product, stage, words, count`` of everything the products left out, the most of each product first."""
    found = []
    for name, count in generation.info.counts.filtered.items():
        product, stage, reason = [*name.split("."), "", ""][:3]
        found.append((product, stage.replace("_", " "), REMOVED.get(reason, reason.replace("_", " ")), count))
    return sorted(found, key=lambda row: (row[0], -row[3], row[1], row[2]))


def feed(served: Served, user_id: int, mode: str, limit: int | None) -> Listed:
    """One mode of a person's feed; ranked items with the parts that add up to their score."""
    found = _found(served, "feed" if mode == "ranked" else "feed_chronological", user_id)
    if found is None:
        return _building()
    dataset, row = found
    teller = Teller(user_id, served.generation.as_of, {}, {}, None)
    items = [_item(json.loads(fragment)) for fragment in dataset.fragments(row, 0, limit)]
    parts = _parts(served.generation, user_id, dataset, row) if mode == "ranked" else []
    newest = max((p["k_time"] for p in parts), default=0)
    stacked = [[(n, v - newest if n == "k_time" else v) for n, v in p.items()] for p in parts[: len(items)]]
    scale = scale_of(stacked)
    told: list[dict[str, Any]] = []
    for i, item in enumerate(items):
        scored = stacked[i] if stacked else []
        bars: tuple[Bar, ...] = scale.bars(scored)
        known = {**dict.fromkeys(SCORE_PARTS, 0), **(parts[i] if parts else {})}
        told.append({
            "line": teller.line(item), "why": teller.why({**item, **known}), "is_unseen": item["is_unseen"],
            "reason": item["reason"], "parts": scored, "bars": bars, "zero": scale.zero,
            "above": sum(v for _, v in scored), "score": sum(known.values()), "newest": newest, "item": item,
        })  # fmt: skip
    return _listed(served, dataset, row, told)


def _item(fragment: Mapping[str, Any]) -> dict[str, Any]:
    """An item as the API serves it, with ids and instants as values."""
    ids = ("object_id", "object_owner_id", "lead_activity_id", "lead_actor_id")
    return {
        **fragment,
        **{name: None if fragment[name] is None else int(fragment[name]) for name in ids},
        "sample_actor_ids": [int(i) for i in fragment["sample_actor_ids"]],
        **{name: datetime.fromisoformat(fragment[name]) for name in ("first_activity_at", "last_activity_at")},
    }


def _parts(generation: Generation, user_id: int, feed: Dataset, row: int) -> list[dict[str, int]]:
    """The parts of every ranked item; none when this generation does not hold them, or they do not fit the feed."""
    scores = generation.dataset("feed_scores")
    at = scores.find(user_id) if scores is not None else None
    if scores is None or at is None:
        return []
    parts = [dict(zip(SCORE_PARTS, values, strict=True)) for values in json.loads(scores.body(at))["parts"]]
    ordered_by = [score_of(key) for key in feed.fragment_keys(row)]
    return parts if [sum(p.values()) for p in parts] == ordered_by else []


def recommendations(served: Served, user_id: int, limit: int | None) -> Listed:
    """Who is recommended, why, with which score and from which sources."""
    found = _found(served, "friend_recommendations", user_id)
    if found is None:
        return _building()
    dataset, row = found
    scores = served.generation.dataset("friend_scores")
    at = scores.find(user_id) if scores is not None else None
    known = json.loads(scores.body(at))["rows"] if scores is not None and at is not None else []
    told = []
    for i, fragment in enumerate(dataset.fragments(row, 0, limit)):
        item = json.loads(fragment)
        item["mutual_sample_ids"] = [int(x) for x in item["mutual_sample_ids"]]
        told.append({**item, **(known[i] if i < len(known) else {}), "why": recommendation_line(item, {})})
    return _listed(served, dataset, row, told)


def digests(served: Served, user_id: int, limit: int | None) -> Listed:
    """The built digests of 90 days, newest first."""
    found = _found(served, "digests", user_id)
    if found is None:
        return _building()
    dataset, row = found
    return _listed(served, dataset, row, [json.loads(fragment) for fragment in dataset.fragments(row, 0, limit)])


def entitlements(served: Served, user_id: int) -> Listed:
    """What the person may use, and how the amount came about."""
    found = _found(served, "entitlements", user_id)
    if found is None:
        return _building()
    dataset, row = found
    rows = [json.loads(fragment) for fragment in dataset.fragments(row)]
    return _listed(served, dataset, row, [{**r, "line": entitlement_line(r), "why": _granted(r)} for r in rows])


def _granted(row: Mapping[str, Any]) -> str:
    if row["kind"] != "metered":
        return f"{'in' if row['has_access'] else 'not in'} {row['plan_code']}"
    since = f"counted since {row['period_start'][:10]}"
    until = f", anew from {row['resets_at'][:10]}" if row["resets_at"] else ""
    if row["limit"] is None:
        return f"no limit in {row['plan_code']}; {since}{until}"
    more = row["granted"] - row["limit"]
    added = f" + {more:,} rolled over or granted besides = {row['granted']:,}" if more else ""
    access = "" if row["has_access"] else "; used up, and the plan stops there"
    return f"{row['plan_code']} gives {row['limit']:,}{added}; {since}{until}{access}"


def _found(served: Served, name: str, user_id: int) -> tuple[Dataset, int] | None:
    dataset = served.generation.dataset(name)
    row = dataset.find(user_id) if dataset is not None else None
    return None if dataset is None or row is None else (dataset, row)


def _listed(served: Served, dataset: Dataset, row: int, rows: Sequence[Mapping[str, Any]]) -> Listed:
    withheld = served.withholding.of(served.generation, dataset, row)
    marked = [{**told, "is_withheld": place in withheld.places} for place, told in enumerate(rows)]
    state: Any = withheld.state or dataset.state(row)
    as_of = dataset.as_of_text[:16].replace("T", " ") if dataset.is_carried_over else None
    return Listed(state, STATES[state], marked, dataset.count(row), as_of)


def _building() -> Listed:
    return Listed("building", STATES["building"], (), 0)
