"""Small pictures for the run's page: scores, degrees, recall by slice, as bars in an image of a few hundred bytes.

Pure: numbers in, Markdown out (an inline SVG, and the numbers themselves for who cannot see it).
Does not belong here: Dagster, what the numbers mean.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import polars as pl

from assets.friends.graph import Ints

WIDTH, HEIGHT, FOOT = 420, 150, 34
BINS = 20


def bars(title: str, labels: Sequence[str], values: Sequence[float]) -> str:
    """Markdown of a bar chart: an SVG as a data address, and a table of the same numbers."""
    top, step = max([*values, 1e-9]), WIDTH / max(len(values), 1)
    drawn = []
    for i, (label, value) in enumerate(zip(labels, values, strict=True)):
        tall = (HEIGHT - FOOT - 18) * value / top
        drawn.append(
            f'<rect x="{i * step + 1:.1f}" y="{HEIGHT - FOOT - tall:.1f}" width="{step - 2:.1f}" height="{tall:.1f}" '
            f'fill="#4f6df5"><title>{escape(label)}: {value:g}</title></rect>'
        )
        if i % max(len(values) // 6, 1) == 0:
            drawn.append(f'<text x="{i * step + 1:.1f}" y="{HEIGHT - FOOT + 14}">{escape(label)}</text>')
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="#555"><text x="1" y="12">{escape(title)}</text>'
        f"{''.join(drawn)}</svg>"
    )
    image = base64.b64encode(svg.encode()).decode()
    head = f"| {' | '.join(labels)} |\n|{' --- |' * len(labels)}\n| {' | '.join(f'{v:g}' for v in values)} |"
    return f"![{title}](data:image/svg+xml;base64,{image})\n\n{head}"


def score_distribution(scores: pl.Series) -> str:
    """How many recommendations have which score, in twenty equal steps up to the highest."""
    values = scores.to_numpy()
    width = max(-(-(int(values.max(initial=0)) + 1) // BINS), 1)
    counts = np.bincount(values // width, minlength=BINS)
    return bars("recommendations by score", [f"{i * width:,}" for i in range(BINS)], counts.tolist())


def degree_distribution(degrees: Ints) -> str:
    """How many people have how many friends, in powers of two."""
    place = np.zeros(degrees.size, dtype=np.int64)
    place[degrees > 0] = np.floor(np.log2(degrees[degrees > 0])).astype(np.int64) + 1
    counts = np.bincount(place, minlength=2)
    labels = ["0", *(f"{1 << i}+" for i in range(counts.size - 1))]
    return bars("people by number of friends", labels, counts.tolist())


def recall_by_slice(figures: Mapping[str, Any]) -> str | None:
    """Recall@20 on validation by the viewer's number of friends; None where nothing was judged."""
    slices = figures.get("slices", {})
    if not slices:
        return None
    return bars("recall@20 by the viewer's friends", list(slices), [s["recall_at_20"] for s in slices.values()])


def of_run(scores: pl.Series, degrees: Ints, figures: Mapping[str, Any] | None) -> dict[str, str]:
    """The pictures of a run, by name."""
    recall = recall_by_slice(figures or {})
    found = {"score_distribution": score_distribution(scores), "degree_distribution": degree_distribution(degrees)}
    return found if recall is None else {**found, "recall_by_slice": recall}
