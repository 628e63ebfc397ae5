"""The writing side of generations: everything that changes ``generations/`` below a home (spec 06.1).

Lives here: ``publication`` (build, verify, audit, swap), ``reversal`` (rollback, pin), ``retention`` (prune),
``drift`` (gates), ``standing`` (the pointer, the record, the locks, verify, list). Does not belong here:
reading (``store.serving``), what the rows are (``assets.published``).
"""

from store.generations.drift import row_drift
from store.generations.publication import (
    PUBLISHED,
    Audit,
    GenerationPlan,
    Publication,
    cursor_key_input,
    publish,
)
from store.generations.retention import prune
from store.generations.reversal import pin, rollback, unpin
from store.generations.standing import GenerationRefused, PublicationBusy, generations, live, verify

__all__ = [
    "PUBLISHED",
    "Audit",
    "GenerationPlan",
    "GenerationRefused",
    "Publication",
    "PublicationBusy",
    "cursor_key_input",
    "generations",
    "live",
    "pin",
    "prune",
    "publish",
    "rollback",
    "row_drift",
    "unpin",
    "verify",
]
