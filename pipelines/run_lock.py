"""The run lock of a home: whoever computes in it, or tidies it, holds it; one at a time.

A command takes it for as long as it computes. A run that the daemon launched takes it through the
resource ``lake``, which every step needs: Dagster's own limit keeps its runs apart, not a run of its and a
command. The lock is the process's: a killed one holds nothing.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from pipelines.instance import COMMAND_TAG
from store.lake import Lake


class RunRefused(Exception):
    """The run cannot start; the message says why and what to do."""


@contextmanager
def only_run(home: Path) -> Iterator[None]:
    """Hold the home's run lock; two runs of one home never compute side by side.

    Raises :class:`RunRefused` when another process holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "run.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunRefused(f"another run is computing in {home}; wait for it or set FLOWFORGE_HOME") from None
        yield


def locked_lake(home: Path) -> dg.ResourceDefinition:
    """The lake, with the run lock for as long as the run lasts, unless the run's command holds it already."""

    def lake(context: dg.InitResourceContext) -> Iterator[Lake]:
        run = context.run
        if run is not None and COMMAND_TAG.items() <= run.tags.items():
            yield Lake(home)
        else:
            with only_run(home):
                yield Lake(home)

    return dg.ResourceDefinition(resource_fn=contextmanager(lake))
