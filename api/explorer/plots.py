"""Small plots as SVG, rendered here: no script, no other host, colours from the style sheet.

Lives here: geometry. Does not belong here: which figures are plotted, and the words beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 240.0
HEIGHT: Final = 60.0
MARGIN: Final = 6.0


@dataclass(frozen=True, slots=True)
class Line:
    """A series as a polyline and its points, in the box ``WIDTH`` × ``HEIGHT``, oldest at the left."""

    path: str
    dots: tuple[tuple[float, float], ...]


def line(values: Sequence[int]) -> Line:
    """Evenly spaced points; the largest value at the top, zero at the bottom."""
    top = max([*values, 1])
    step = (WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)
    start = MARGIN if len(values) > 1 else WIDTH / 2
    dots = tuple(
        (round(start + step * i, 1), round(HEIGHT - MARGIN - value / top * (HEIGHT - 2 * MARGIN), 1))
        for i, value in enumerate(values)
    )
    return Line(" ".join(f"{x},{y}" for x, y in dots), dots)


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a stacked bar: where it lies, and which part it is."""

    part: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Scale:
    """What a unit is wide and where zero lies, the same for every bar of a list."""

    low: int
    high: int

    @property
    def zero(self) -> float:
        """Where zero lies."""
        return self._at(0)

    def _at(self, value: int) -> float:
        return round(WIDTH * (value - self.low) / max(self.high - self.low, 1), 2)

    def bars(self, parts: Sequence[tuple[str, int]]) -> tuple[Bar, ...]:
        """Gains stacked to the right of zero, losses to its left."""
        ends = {True: 0, False: 0}
        found = []
        for name, value in parts:
            before = ends[value > 0]
            ends[value > 0] += value
            left, right = sorted((self._at(before), self._at(before + value)))
            if value:
                found.append(Bar(name, left, round(right - left, 2)))
        return tuple(found)


def scale_of(rows: Sequence[Sequence[tuple[str, int]]]) -> Scale:
    """The scale on which every row's bar fits."""
    low = min((sum(v for _, v in row if v < 0) for row in rows), default=0)
    high = max((sum(v for _, v in row if v > 0) for row in rows), default=1)
    return Scale(low, high)
