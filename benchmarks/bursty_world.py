"""A made-up timed graph of another kind than the generator's: people come, are lively for a while, and fade.

An activity-driven process with memory: who befriends whom depends mostly on who is lively just
then, one time in five on a common friend. Adamic-Adar knows nothing of time and does badly here, as
on message networks. Does not belong here: judging.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from assets.friends.product import friends
from quality.registry import REGISTRY

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
CLOSED, COMEBACK = 0.2, 0.15
"""Shares of friendships that close a triangle, and of people who become lively a second time."""


def bursty(people: int = 1_900, days: float = 190.0, contacts: int = 16_000, seed: int = 5) -> dict[str, pl.LazyFrame]:
    """Staged frames of such a graph; nothing but people and friendships."""
    rng = np.random.default_rng(seed)
    came = np.sort(days * rng.beta(1.2, 2.0, people))
    drive = rng.pareto(1.6, people) + 0.2
    fade = rng.lognormal(np.log(9.0), 0.8, people)
    again = np.where(rng.random(people) < COMEBACK, came + rng.exponential(60.0, people), np.inf)
    mates: list[list[int]] = [[] for _ in range(people)]
    pairs: dict[tuple[int, int], float] = {}
    for at in np.sort(rng.uniform(1.0, days, contacts)):
        lively = drive * np.where(came <= at, np.exp(-(at - came) / fade), 0.0)
        lively += drive * np.where(again <= at, np.exp(-np.maximum(at - again, 0.0) / fade), 0.0)
        total = np.cumsum(lively)
        one = int(np.searchsorted(total, rng.random() * total[-1]))
        near = [z for y in mates[one] for z in mates[y]] if rng.random() < CLOSED else []
        other = int(rng.choice(near)) if near else int(np.searchsorted(total, rng.random() * total[-1]))
        key = min(one, other), max(one, other)
        if one != other and key not in pairs:
            pairs[key] = float(at)
            mates[one].append(other)
            mates[other].append(one)
    begin = AS_OF - timedelta(days=days)
    joined = {i: begin + timedelta(days=float(day)) for i, day in enumerate(came)}
    return staged(joined, {pair: begin + timedelta(days=at) for pair, at in pairs.items()})


def staged(joined: dict[int, datetime], befriended: dict[tuple[int, int], datetime]) -> dict[str, pl.LazyFrame]:
    """Staged frames of people who ``joined`` and pairs who ``befriended`` each other then; nothing else."""
    told: dict[str, list[dict[str, Any]]] = {
        "staged_users": [
            {"id": i, "status": "active", "profile_visibility": "public", "friend_list_visibility": "public",
             "is_discoverable": True, "wants_recommendations": True, "created_at": at}
            for i, at in joined.items()
        ],
        "staged_friendships": [
            {"user_a_id": a, "user_b_id": b, "created_at": at} for (a, b), at in befriended.items()
        ],
    }  # fmt: skip
    found = {}
    for name in friends.inputs:
        schema = REGISTRY[name].schema
        rows = [{column: row.get(column) for column in schema} for row in told.get(name, [])]
        found[name] = pl.DataFrame(rows, schema=schema, orient="row").lazy()
    return found
