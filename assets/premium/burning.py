"""How usage burns a pot and then grants, period after period (rules 18 and 19). Plain integers, no frames.

Not here: where periods, plans and events come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Grant = tuple[int, int, int]
"""``(lives from, lives until, amount)`` in microseconds, in the order in which grants burn."""


class Period(NamedTuple):
    """One billing period: the pot's terms and the usage in it."""

    limit: int
    rollover_max: int
    is_counted: bool
    pieces: Sequence[tuple[int, int]]
    """``(instant, amount)`` in the order of time; no grant begins or ends to live within a piece."""


class Balance(NamedTuple):
    """What stands in the last period."""

    rolled_over: int = 0
    burnt_grants: int = 0
    rest: int = 0
    left_grants: int = 0
    overage: int = 0


def burn(periods: Sequence[Period], grants: Sequence[Grant], as_of: int) -> Balance:
    """Rule 18: walk the periods in order; the last one's balance, with what is left in grants live at ``as_of``."""
    left = [max(0, amount) for _, _, amount in grants]
    carried = rolled_over = burnt = rest = overage = 0
    for period in periods:
        rolled_over, burnt, rest, overage = carried, 0, 0, 0
        if not period.is_counted:
            carried = 0
            continue
        rest = period.limit + rolled_over
        for at, amount in period.pieces:
            from_pot = min(rest, amount)
            rest -= from_pot
            from_grants = _burn_grants(grants, left, at, amount - from_pot)
            burnt += from_grants
            overage += amount - from_pot - from_grants
        carried = min(max(0, period.rollover_max), rest)
    live = sum(
        amount for (begins, ends, _), amount in zip(grants, left, strict=True) if begins <= as_of < ends
    )  # fmt: skip
    return Balance(rolled_over, burnt, rest, live, overage)


def _burn_grants(grants: Sequence[Grant], left: list[int], at: int, amount: int) -> int:
    burnt = 0
    for index, (begins, ends, _) in enumerate(grants):
        if burnt == amount:
            break
        if begins <= at < ends:
            part = min(left[index], amount - burnt)
            left[index] -= part
            burnt += part
    return burnt
