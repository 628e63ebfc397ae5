"""The quality gate (02, 2.5): recommendations that are worse than the last accepted ones are not accepted.

The figures are those of the run's own validation, kept in `friend_model`; the last accepted
`friend_model` is a named previous state (law 2). Does not belong here: how figures come about,
what is published instead (06.1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from quality.contract import Failure

GATED = ("recall_at_20", "map_at_20")


def chosen(evaluation: Mapping[str, Any], *, is_learned: bool) -> Mapping[str, Any] | None:
    """The figures of the ranker that was used, or None where there was too little to judge by."""
    found: Mapping[str, Any] | None = evaluation.get("learned" if is_learned else "adamic_adar")
    return found if found and found["viewer_count"] else None


def losses(
    mine: Mapping[str, Any] | None, previous: pl.DataFrame, margin_percent: int, *, is_judged: bool = True
) -> list[str]:
    """What fell below the last accepted figures by more than the margin, in words; nothing on a first run.

    ``is_judged``: whether this run meant to judge itself; if it did and found nothing to judge by,
    where the last accepted run did, that is a loss as well.
    """
    if previous.is_empty():
        return []
    told = previous.sort("variant").row(0, named=True)
    before = chosen(json.loads(told["evaluation"] or "{}"), is_learned=told["is_learned"])
    if before is None or (mine is None and not is_judged):
        return []
    if mine is None:
        said = f"nothing could be judged; recall_at_20 was {before['recall_at_20']:.4f}"
        return [said] if margin_percent < 100 else []
    found = [(name, mine[name], before[name]) for name in GATED]
    return [
        f"{name} fell from {was:.4f} to {now:.4f}, by more than {margin_percent} %"
        for name, now, was in found
        if now * 100 < was * (100 - margin_percent)
    ]


def friends_quality(tables: Mapping[str, pl.DataFrame]) -> Mapping[str, list[Failure]]:
    """The verdict beyond the contracts: a run whose own figures fell too far is not accepted."""
    model = tables["friend_model"].sort("variant")
    fallen = json.loads(model["evaluation"][0] or "{}").get("losses", []) if model.height else []
    return {"friend_model": [Failure("friend_model", loss, "evaluation", None) for loss in fallen]}
