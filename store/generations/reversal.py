"""Going back, and holding still: rollback, pin, unpin (spec 06.1).

Does not belong here: publishing. A rollback quarantines what it leaves; a pin keeps later publications built
but not served.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from store.failpoints import hit
from store.generations.standing import (
    GenerationRefused,
    lock,
    point,
    set_aside,
    verified,
    write_standing,
)
from store.serving.dataset import CorruptGeneration
from store.serving.follower import FOLDER, Standing, list_ids, read_current, read_standing


def rollback(
    home: Path, to: str | None = None, *, reason: str = "rolled back", warn: Callable[[str], object] | None = None
) -> str:
    """Make ``to`` (else the newest verified one before the live) live and quarantine the one left.

    Returns the id now live; ``warn`` is told of each one that is passed over because it cannot be served.
    Raises :class:`GenerationRefused` when there is nothing to go back to, or ``to``
    is unknown, corrupt, quarantined or live already.
    """
    folder = home / FOLDER
    with lock(folder, "state"):
        standing, live = read_standing(folder), read_current(folder)
        target = _rollback_target(folder, standing, live, to, warn or (lambda _: None))
        if live is not None:
            set_aside(folder, live, reason)
        hit("rollback.recorded")
        point(folder, target)
        return target


def _rollback_target(
    folder: Path, standing: Standing, live: str | None, to: str | None, warn: Callable[[str], object]
) -> str:
    if to is not None:
        if to == live:
            raise GenerationRefused(f"generation {to} is live already")
        if to in standing.quarantined:
            raise GenerationRefused(f"generation {to} is quarantined: {standing.quarantined[to]}")
        if to not in list_ids(folder):
            raise GenerationRefused(f"generation {to} does not stand here; there are {list_ids(folder)}")
        try:
            return verified(folder / to).id
        except CorruptGeneration as error:
            raise GenerationRefused(f"generation {to} cannot be served: {error}") from error
    left_at = standing.published.get(live or "")
    earlier = [
        (at, generation_id)
        for generation_id in list_ids(folder)
        if (at := standing.published.get(generation_id)) is not None
        and generation_id != live
        and generation_id not in standing.quarantined
        and (left_at is None or at <= left_at)
    ]
    passed_over = []
    for _, generation_id in sorted(earlier, reverse=True):
        try:
            return verified(folder / generation_id).id
        except CorruptGeneration as error:
            passed_over.append(f"generation {generation_id} cannot be served: {error}")
            warn(passed_over[-1])
    raise GenerationRefused("; ".join(["there is no earlier verified generation to go back to", *passed_over]))


def pin(home: Path, generation_id: str | None = None) -> str:
    """Hold ``generation_id`` (else the live one) live: later publications are built but not served.

    Raises :class:`GenerationRefused` when it is not live.
    """
    folder = home / FOLDER
    with lock(folder, "state"):
        live = read_current(folder)
        wanted = generation_id or live
        if wanted is None or wanted != live:
            raise GenerationRefused(f"only the live generation can be pinned; live is {live}")
        write_standing(folder, replace(read_standing(folder), pinned=wanted))
        return wanted


def unpin(home: Path) -> None:
    """Let the next publication be served again."""
    folder = home / FOLDER
    with lock(folder, "state"):
        write_standing(folder, replace(read_standing(folder), pinned=None))
