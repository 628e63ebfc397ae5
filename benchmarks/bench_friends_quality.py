"""Quality of friend recommendations beside the textbook on the same users (02, 2.7).

One configuration for every graph. The public worlds are judged by their ``truth`` files, which only
this script reads; a generated timed world by its last fifth of friendships. Lists are the
product's own, exposure cap on. A second timed world is made by a process that knows nothing of the
generator's: `bursty_world`; a third is real: `college_messages`.
``python benchmarks/bench_friends_quality.py [worlds folder]``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assets.friends.engine import Engine
from assets.friends.evaluation import TOP
from assets.friends.judging import Case, case_of, judged, truth_of
from assets.friends.product import friends
from benchmarks import bursty_world
from benchmarks.college_messages import college_messages
from benchmarks.measure import machine_facts, measured, table, write_section
from quality.registry import REGISTRY
from store.generator import generate_world
from store.settings import FriendsSettings

WORLDS = Path(__file__).resolve().parents[2] / "shared" / "worlds"
GOALS = {
    "foursquare_nyc": (1.30, 1.20, 0.80),
    "lastfm": (1.34, 1.20, 0.80),
    "facebook_ego": (1.035, 1.02, 0.80),
    "generated, timed": (2.9, 2.4, 0.45),
    "bursty, timed": (2.9, 2.4, 0.45),
    "college messages, timed": (2.9, 2.4, 0.45),
}
"""Recall@20 and MAP@20 over Adamic-Adar's, coverage@20."""
HOW = (
    "Reached / goal; ratios are over Adamic-Adar on the same users, lists are published ones with the cap on, "
    "settings are the defaults. The college messages are real (Panzarasa et al. 2009), the other timed worlds made up."
)
JUDGED = ("recall_at_20", "map_at_20")
RIVALS = ("adamic_adar", "resource_allocation", "pagerank_forward", "pagerank_symmetric", "popularity")


def frames_of(folder: Path) -> tuple[dict[str, pl.LazyFrame], datetime]:
    """A world as staged frames, and its ``as_of``."""
    made = {}
    for name in friends.inputs:
        schema, file = REGISTRY[name].schema, folder / f"{name.removeprefix('staged_')}.parquet"
        frame = pl.read_parquet(file) if file.exists() else pl.DataFrame(schema=schema)
        columns = [pl.col(c) if c in frame.columns else pl.lit(None).alias(c) for c in schema]
        made[name] = frame.select(columns).cast(dict(schema)).lazy()  # type: ignore[arg-type]
    return made, datetime.fromisoformat(json.loads((folder / "world.json").read_text())["as_of"])


def cases(worlds: Path, scratch: Path) -> dict[str, Case]:
    found = {}
    for name in GOALS:
        if (worlds / name).is_dir():
            frames, as_of = frames_of(worlds / name)
            truth = pl.read_parquet(worlds / name / "truth" / "future_friendships.parquet")
            found[name] = Case(frames, as_of, truth, "truth")
    made = generate_world(scratch / "world", users=6000, seed=11)
    found["generated, timed"] = case_of(*frames_of(made.directory))
    found["bursty, timed"] = case_of(bursty_world.bursty(), bursty_world.AS_OF)
    messages = college_messages()
    if messages is not None:
        found["college messages, timed"] = case_of(*messages)
    return found


def figures(told: dict[str, Any]) -> list[str]:
    """A ranker's row of the table."""
    return [f"{told[m]:.4f}" for m in (*JUDGED, "ndcg_at_20", "hit_at_10", "coverage_at_20", "gini")]


def said(value: float, goal: float, most: float = float("inf")) -> str:
    """Reached / goal, in words; ``most``: what lists of nothing but truth would reach."""
    missed = "falls short" if goal <= most else f"no ranking can: {most:.2f} at most"
    return f"{value:.3f} / {goal} {'holds' if value >= goal else missed}"


def perfect_recall(case: Case) -> float:
    """Recall@20 of lists that hold nothing but what came true."""
    wanted = truth_of(case).group_by("viewer").len()["len"].to_numpy()
    return float((np.minimum(wanted, TOP) / wanted).mean())


def main() -> None:
    worlds = Path(sys.argv[1]) if len(sys.argv) > 1 else WORLDS
    rows: list[list[Any]] = []
    goals: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, case in cases(worlds, Path(scratch)).items():
            report, cost = measured(partial(judged, case, FriendsSettings(), Engine(threads=2)))
            rankers = report["rankers"]
            rows += [[name, ranker, *figures(told)] for ranker, told in rankers.items()]
            own, textbook = rankers["flowforge"], rankers["adamic_adar"]
            reached = [own[m] / textbook[m] for m in JUDGED] + [own["coverage_at_20"]]
            most = [perfect_recall(case) / textbook[JUDGED[0]], 1 / textbook[JUDGED[1]], 1.0]
            cells = [said(*told) for told in zip(reached, GOALS[name], most, strict=True)]
            best = min(own[m] / max(rankers[r][m] for r in RIVALS) for m in JUDGED)
            low, high = own["recall_at_20_interval"]
            first = [name, report["viewer_count"], report["ranker"]]
            goals.append([*first, *cells, said(best, 0.99), f"{low:.3f}-{high:.3f}", f"{cost['cpu']:.0f}"])
            print(goals[-1], flush=True)
    body = "\n\n".join([
        machine_facts("numpy", "numba", "polars"),
        HOW,
        table(["graph", "viewers", "ranker", "recall@20 ratio", "MAP@20 ratio", "coverage@20",
               "over the best rival", "recall@20 95 %", "CPU s with training and rivals"], goals),
        table(["graph", "ranker", "recall@20", "MAP@20", "NDCG@20", "hit@10", "coverage@20", "Gini"], rows),
    ])  # fmt: skip
    write_section("Friend recommendations: quality", body)


if __name__ == "__main__":
    main()
