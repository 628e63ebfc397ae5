"""Stage counts summed over buckets (spec 00 law 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from assets.frame import StageCount


class Tally:
    """Adds up what each stage took, kept and removed, bucket by bucket."""

    def __init__(self) -> None:
        self._in: Counter[str] = Counter()
        self._out: Counter[str] = Counter()
        self._filtered: dict[str, Counter[str]] = {}

    def add(self, stage: str, rows_in: int, rows_out: int, filtered: Mapping[str, int]) -> None:
        """Add one bucket's figures to the stage."""
        self._in[stage] += rows_in
        self._out[stage] += rows_out
        self._filtered.setdefault(stage, Counter()).update(filtered)

    @classmethod
    def of(cls, tallies: Iterable[Tally]) -> Tally:
        """The sum of several."""
        every = cls()
        for tally in tallies:
            for count in tally.counts():
                every.add(count.stage, count.rows_in, count.rows_out, count.filtered)
        return every

    def counts(self) -> tuple[StageCount, ...]:
        """One count per stage, in the order the stages were first met."""
        return tuple(
            StageCount(stage, self._in[stage], self._out[stage], filtered=dict(filtered))
            for stage, filtered in self._filtered.items()
        )
