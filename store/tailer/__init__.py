"""The tailer of revocations (spec 06.2): reads the source, writes ``HOME/revocations/current.arrow``.

Lives here: ``facts`` (what is read, and what is remembered of it) and ``tail`` (one reading, and the loop).
Does not belong here: what an entry withholds (``store.revocations``), the command (``pipelines.cli``).
"""

from store.tailer.facts import Fact, Remembered
from store.tailer.tail import Tailer, TailerRuns, only_tailer

__all__ = ["Fact", "Remembered", "Tailer", "TailerRuns", "only_tailer"]
