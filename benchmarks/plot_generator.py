"""Plots of a generated world's distributions beside those of public graphs, as SVG (docs/generator.md).

    python benchmarks/plot_generator.py GENERATED [PUBLIC …] [--to docs/img]

GENERATED is a folder of ``flowforge source generate``; PUBLIC are worlds too, each drawn where it has the
tables. Same worlds, same bytes. Prints the figures quoted in the page. Needs matplotlib (group dev).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

mpl.use("svg")
mpl.rcParams |= {
    "svg.hashsalt": "flowforge", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e4e4e4",
    "axes.axisbelow": True, "legend.frameon": False, "figure.facecolor": "white", "figure.constrained_layout.use": True,
}  # fmt: skip
COLOURS = ("#0b5fa5", "#d1622b", "#2f8f5b", "#8458a6", "#8a6d3b", "#555555")
DAY = 86_400_000_000
SAMPLE = 4_000
"""People whose clustering is computed, at most."""


class World:
    """A world's tables, its name and its colour; what is not there is None."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.name = "generated" if number == 0 else folder.name
        self.colour = COLOURS[number % len(COLOURS)]
        self.width = 2.2 if number == 0 else 1.3
        self.frames: dict[str, pl.DataFrame] = {}
        self.as_of = datetime.fromisoformat(json.loads((folder / "world.json").read_text())["as_of"])

    def table(self, name: str) -> pl.DataFrame | None:
        """A table with rows; None otherwise."""
        path = self.folder / f"{name}.parquet"
        if name not in self.frames:
            self.frames[name] = pl.read_parquet(path) if path.is_file() else pl.DataFrame()
        frame = self.frames[name]
        return frame if frame.height else None

    def neighbours(self) -> dict[int, set[int]]:
        """Who is whose friend."""
        found: dict[int, set[int]] = {}
        frame = self.table("friendships")
        if frame is not None:
            for a, b in frame.select("user_a_id", "user_b_id").iter_rows():
                found.setdefault(a, set()).add(b)
                found.setdefault(b, set()).add(a)
        return found


def ccdf(ax: Axes, values: np.ndarray, world: World, label: str | None = None) -> None:
    """Draw the share of ``values`` that are at least x, thinned to a few hundred points."""
    ordered = np.sort(values)
    share = 1 - np.arange(len(ordered)) / len(ordered)
    first = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
    thin = np.append(np.linspace(0, len(first) - 1, 60), len(first) - np.geomspace(1, len(first), 240))
    keep = first[np.unique(thin.astype(int))]
    ax.step(ordered[keep], share[keep], where="pre", color=world.colour, lw=world.width, label=label or world.name)


def finish(ax: Axes, title: str, x: str, y: str, *, legend: bool = True) -> None:
    """Title and axis names, units in them."""
    ax.set_title(title, loc="left", fontsize=11)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    if legend:
        ax.legend(fontsize=9)


def degrees(worlds: list[World], axes: list[Axes]) -> None:
    """How many friends people have, and how many of a person's friends are friends."""
    for world in worlds:
        near = world.neighbours()
        if not near:
            continue
        degree = np.array([len(friends) for friends in near.values()])
        ccdf(axes[0], degree, world)
        people = sorted(near)
        chosen = np.random.default_rng(7).permutation(len(people))[:SAMPLE]
        points = [(len(near[u]), _clustering(near, u)) for u in (people[i] for i in chosen) if len(near[u]) > 1]
        size, local = np.array(points).T
        edges = np.unique(np.geomspace(2, size.max() + 1, 14).astype(int))
        middle = [(size[at].mean(), local[at].mean()) for at in _bins(size, edges)]
        axes[1].plot(*np.array(middle).T, "o-", ms=3.5, color=world.colour, lw=world.width, label=world.name)
        print(f"{world.name}: mean degree {degree.mean():.1f}, 99th percentile {np.percentile(degree, 99):.0f}, "
              f"largest {degree.max()}, mean clustering {local.mean():.3f}")  # fmt: skip
    for ax in axes:
        ax.set_xscale("log")
    axes[0].set_yscale("log")
    finish(axes[0], "Friends per person", "friends (k)", "share of people with at least k")
    finish(axes[1], "Clustering", "friends", "share of pairs of friends who are friends", legend=False)
    axes[1].set_ylim(0, None)


def _bins(values: np.ndarray, edges: np.ndarray) -> Iterator[np.ndarray]:
    for low, high in pairwise(edges):
        at = np.flatnonzero((values >= low) & (values < high))
        if len(at):
            yield at


def _clustering(near: dict[int, set[int]], user: int) -> float:
    friends = near[user]
    pairs = len(friends) * (len(friends) - 1)
    return sum(len(near[friend] & friends) for friend in friends) / pairs


def closure(worlds: list[World], axes: list[Axes]) -> None:
    """Which share of new friendships closes a triangle, part by part, and between any two people."""
    ax = axes[0]
    for world in worlds:
        frame = world.table("friendships")
        truth = world.folder / "truth" / "future_friendships.parquet"
        if frame is not None and frame["created_at"].n_unique() > 1:
            shares, chance = _closed_by_part(frame)
            ax.plot(range(len(shares)), shares, "o-", ms=4, color=world.colour, lw=world.width, label=world.name)
            ax.axhline(chance, color=world.colour, ls=":", lw=1.2)
            print(f"{world.name}: the last twelfth closes {shares[-1]:.2f}, any two people {chance:.3f}")
        elif truth.is_file():
            near = world.neighbours()
            later = pl.read_parquet(truth).select("user_a_id", "user_b_id").rows()
            share = float(np.mean([bool(near.get(a, set()) & near.get(b, set())) for a, b in later]))
            ax.axhline(share, color=world.colour, ls="--", lw=world.width, label=f"{world.name}, later friendships")
            print(f"{world.name}: later friendships close {share:.2f}")
    ax.set_ylim(0, 1)
    ax.set_xticks(range(12), [str(i) for i in range(1, 13)])
    finish(ax, "New friendships between people with a common friend (dotted: any two people)",
           "twelfth of the world's friendships, oldest first", "share with a common friend", legend=False)  # fmt: skip
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _closed_by_part(frame: pl.DataFrame, parts: int = 12) -> tuple[list[float], float]:
    near: dict[int, set[int]] = {}
    closed = []
    for a, b in frame.sort("created_at").select("user_a_id", "user_b_id").iter_rows():
        closed.append(bool(near.setdefault(a, set()) & near.setdefault(b, set())))
        near[a].add(b)
        near[b].add(a)
    people = np.array(sorted(near))
    pairs = np.random.default_rng(7).choice(people, (20_000, 2))
    chance = float(np.mean([bool(near[a] & near[b]) for a, b in pairs.tolist() if a != b]))
    return [float(np.mean(part)) for part in np.array_split(np.array(closed), parts)], chance


def hours(worlds: list[World], axes: list[Axes]) -> None:
    """When people do things, by their own clocks."""
    for world in worlds:
        activities, users = world.table("activities"), world.table("users")
        if activities is None or users is None:
            continue
        people = users.select(actor_id="id", zone="time_zone")
        said = activities.filter(pl.col("verb").is_in(["post", "comment"])).join(people, on="actor_id")
        local = pl.concat([
            part.select(pl.col("created_at").dt.convert_time_zone(zone[0]).dt.replace_time_zone(None))
            for zone, part in said.partition_by("zone", as_dict=True).items()
        ])["created_at"]  # fmt: skip
        for ax, part, count in ((axes[0], local.dt.hour(), 24), (axes[1], local.dt.weekday() - 1, 7)):
            share = np.bincount(part.to_numpy(), minlength=count) / len(part) * 100
            ax.plot(range(count), share, "o-", ms=3.5, color=world.colour, lw=world.width, label=world.name)
    axes[0].set_xticks(range(0, 24, 3))
    axes[1].set_xticks(range(7), ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])
    for ax, unit in zip(axes, ("hour", "day"), strict=True):
        ax.set_ylim(0, None)
        finish(ax, f"Posts and comments by {unit}", f"the author's local {unit}", "% of posts and comments")


def zones(worlds: list[World], axes: list[Axes]) -> None:
    """Where people's clocks stand."""
    ax = axes[0]
    shown = [world for world in worlds if world.table("users") is not None and world.table("activities") is not None]
    for number, world in enumerate(shown):
        users = world.table("users")
        assert users is not None
        noon = pl.datetime(2026, 1, 15, 12, time_zone="UTC")
        offset = pl.concat([
            part.select((noon.dt.convert_time_zone(zone[0]).dt.base_utc_offset() + noon.dt.convert_time_zone(zone[0])
                         .dt.dst_offset()).dt.total_minutes().alias("m").repeat_by(part.height).explode())
            for zone, part in users.partition_by("time_zone", as_dict=True).items()
        ])["m"].to_numpy() / 60  # fmt: skip
        values, counts = np.unique(np.floor(offset), return_counts=True)
        ax.bar(values + 0.4 * number - 0.2, counts / len(offset) * 100, 0.4, color=world.colour, label=world.name)
        print(f"{world.name}: {users['time_zone'].n_unique()} time zones")
    ax.set_xticks(range(-11, 14, 2))
    finish(ax, "People by time zone", "hours ahead of UTC in January (rounded down)", "% of people")


def usage(worlds: list[World], axes: list[Axes]) -> None:
    """How late usage events arrive, and how often the same one comes again."""
    labels, shares, colours = [], [], []
    for world in worlds:
        events = world.table("usage_events")
        if events is None:
            continue
        late = (events["ingested_at"] - events["occurred_at"]).dt.total_microseconds().to_numpy() / 1e6
        if late.max() > 0:
            ccdf(axes[0], np.maximum(late, 0.1), world)
        again = 1 - events.select(pl.struct("source", "event_id").n_unique()).item() / events.height
        labels.append(world.name)
        shares.append(again * 100)
        colours.append(world.colour)
        print(f"{world.name}: {np.mean(late > 3600) * 100:.2f} % later than an hour, "
              f"{np.mean(late > 35 * 86400) * 100:.3f} % than 35 days, {again * 100:.2f} % sent again")  # fmt: skip
    for seconds, text in ((60, "minute"), (3600, "hour"), (86400, "day"), (35 * 86400, "35 days")):
        axes[0].axvline(seconds, color="#999999", lw=0.8, ls=":")
        axes[0].text(seconds, 1.15, text, fontsize=8, color="#666666", ha="center")
    axes[0].set_xscale("log")
    axes[0].set_yscale("log")
    finish(axes[0], "Late usage events\n", "seconds from happening to arriving (t)", "share that took at least t")
    axes[1].bar(labels, shares, 0.5, color=colours)
    finish(axes[1], "Usage events sent more than once\n", "world", "% of events with an earlier copy", legend=False)


def money(worlds: list[World], axes: list[Axes]) -> None:
    """How subscriptions begin, move and end."""
    for world in worlds:
        versions = world.table("subscription_versions")
        if versions is None:
            continue
        paid = versions.filter(pl.col("status").is_in(["active", "past_due", "paused"]) & (pl.col("amount_minor") > 0))
        lives = paid.group_by("subscription_id").agg(start=pl.min("valid_from"), first=pl.max("valid_to"),
                                                     is_open=pl.col("valid_to").is_null().any())  # fmt: skip
        end = world.as_of
        lives = lives.filter(pl.col("start") < end).with_columns(pl.col("is_open") | (pl.col("first") >= end))
        lives = lives.with_columns(first=pl.min_horizontal("first", pl.lit(end)))
        days = (lives["first"].fill_null(end) - lives["start"]).dt.total_days().to_numpy()
        x, y = _survival(days / 30.44, (~lives["is_open"]).to_numpy())
        axes[0].step(x, y * 100, where="post", color=world.colour, lw=world.width, label=world.name)
    generated = worlds[0].table("subscription_versions")
    assert generated is not None
    counts = _movements(generated)
    axes[1].barh(list(counts)[::-1], list(counts.values())[::-1], 0.6, color=COLOURS[0])
    print(f"generated: movements per 100 subscriptions {counts}")
    axes[0].set_ylim(0, 102)
    finish(
        axes[0], "Paying subscriptions that live on", "months since the first payment", "% still paying (Kaplan-Meier)"
    )
    finish(axes[1], "What happens to 100 subscriptions", "events per 100 subscriptions", "", legend=False)


def _survival(age: np.ndarray, ended: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kaplan-Meier: ages at which some ended, and the share that lives on; those still open are censored."""
    steps = np.unique(np.round(age[ended], 1))
    alive = 1.0
    shares = []
    for step in steps:
        at_risk = (age >= step - 0.05).sum()
        alive *= 1 - ((np.abs(age - step) <= 0.05) & ended).sum() / max(at_risk, 1)
        shares.append(alive)
    return np.append(0, steps), np.append(1, shares)


def _movements(versions: pl.DataFrame) -> dict[str, float]:
    ordered = versions.sort("subscription_id", "valid_from", "recorded_at").with_columns(
        before=pl.col("amount_minor").shift().over("subscription_id"),
        was=pl.col("status").shift().over("subscription_id"),
    )
    per = 100 / ordered["subscription_id"].n_unique()
    active = pl.col("status") == "active"
    tests = {
        "trial begun": (pl.col("status") == "trialing") & (pl.col("was").is_null() | (pl.col("was") != "trialing")),
        "trial became paying": active & (pl.col("was") == "trialing"),
        "pays more": active & (pl.col("was") == "active") & (pl.col("amount_minor") > pl.col("before")),
        "pays less": active & (pl.col("was") == "active") & (pl.col("amount_minor") < pl.col("before")),
        "payment failed": (pl.col("status") == "past_due") & (pl.col("was") != "past_due"),
        "paused": (pl.col("status") == "paused") & (pl.col("was") != "paused"),
        "cancelled": (pl.col("status") == "cancelled") & (pl.col("was") != "cancelled"),
    }
    return {name: round(ordered.filter(test).height * per, 1) for name, test in tests.items()}


def restrictions(worlds: list[World], axes: list[Axes]) -> None:
    """Who blocks and mutes how many, and how soon what was said is deleted."""
    generated = worlds[0]
    for number, (table, who) in enumerate((("blocks", "blocker_id"), ("mutes", "muter_id"))):
        frame = generated.table(table)
        users = generated.table("users")
        if frame is not None and users is not None:
            count = frame.group_by(who).len()["len"].to_numpy()
            values, people = np.unique(count, return_counts=True)
            share = people[::-1].cumsum()[::-1] / users.height * 100
            axes[0].step(values, share, where="pre", marker="o", ms=4, color=COLOURS[number], lw=2, label=table)
    axes[0].set_yscale("log")
    axes[0].set_xticks(range(1, int(axes[0].get_xlim()[1]) + 1))
    finish(axes[0], "Blocks and mutes per person", "people blocked or muted (k)", "% of people with at least k")
    for number, world in enumerate(worlds):
        activities = world.table("activities")
        if activities is None or not activities["deleted_at"].is_not_null().any():
            continue
        for kind, verbs in (("posts and comments", ["post", "comment"]), ("reactions", ["reaction"])):
            some = activities.filter(pl.col("verb").is_in(verbs))
            gone = some.drop_nulls("deleted_at")
            after = (gone["deleted_at"] - gone["created_at"]).dt.total_microseconds().to_numpy() / 3.6e9
            share = np.arange(1, len(after) + 1) / some.height * 100
            keep = np.unique(np.linspace(0, len(after) - 1, 200).astype(int))
            style = "-" if verbs[0] == "post" else "--"
            axes[1].plot(np.sort(after)[keep], share[keep], style, color=COLOURS[number], lw=2, label=kind)
            print(f"{world.name}: {len(after) / some.height * 100:.2f} % of {kind} deleted")
    axes[1].set_xscale("log")
    axes[1].set_ylim(0, None)
    finish(axes[1], "Deletions", "hours after it was said", "% deleted by then")


FIGURES: dict[str, tuple[Callable[[list[World], list[Axes]], None], int]] = {
    "degrees": (degrees, 2), "closure": (closure, 1), "hours": (hours, 2), "zones": (zones, 1), "usage": (usage, 2),
    "subscriptions": (money, 2), "restrictions": (restrictions, 2),
}  # fmt: skip


def main() -> int:
    """Write every figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("worlds", nargs="+", type=Path, metavar="WORLD")
    parser.add_argument("--to", type=Path, default=Path("docs/img"))
    parser.add_argument("--png", action="store_true", help="Also write each as PNG, to look at.")
    arguments = parser.parse_args()
    worlds = [World(folder, number) for number, folder in enumerate(arguments.worlds)]
    arguments.to.mkdir(parents=True, exist_ok=True)
    for name, (draw, panels) in FIGURES.items():
        figure, axes = plt.subplots(1, panels, figsize=(9.2, 3.7), squeeze=False)
        draw(worlds, list(axes[0]))
        path = arguments.to / f"generator-{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        if arguments.png:
            figure.savefig(path.with_suffix(".png"), dpi=90)
        plt.close(figure)
        print(f"{path}: {path.stat().st_size / 1024:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
