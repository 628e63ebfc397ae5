"""Failpoints: named places where a test may kill, fail or hold the process (spec 07.2).

Lives here: the registry of names and :func:`hit`. ``FLOWFORGE_FAILPOINT=name:kill|raise|sleep`` is
honoured only under ``FLOWFORGE_ENV=test``; otherwise a hit costs one look-up. Does not belong here:
what the places mean.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import Final

log = logging.getLogger("flowforge.failpoints")
PRODUCTS: Final = ("friends", "feed", "digests", "premium")
FAILPOINTS: Final = frozenset(
    {
        "snapshots.locked",
        "snapshots.exported",
        "snapshots.reading",
        "snapshots.read",
        "snapshots.written",
        "snapshots.renamed",
        "snapshots.taken",
        "staged.computed",
        "staged.accepted",
        *(f"{product}.{step}" for product in PRODUCTS for step in ("computed", "accepted")),
        "publish.building",
        "publish.built",
        "publish.renamed",
        "publish.verified",
        "publish.audited",
        "publish.recorded",
        "publish.swapped",
        "prune.removing",
        "rollback.recorded",
    }
)
"""Every failpoint; a test is parametrised over them, so that none stays uncovered."""

ACTIONS: Final = ("kill", "raise", "sleep")
SLEEP_SECONDS: Final = 600.0


class FailpointHit(Exception):
    """The failure that ``name:raise`` asks for."""


def hit(name: str) -> None:
    """Do what ``FLOWFORGE_FAILPOINT`` asks of this place: nothing, unless a test named it.

    ``kill`` is SIGKILL to this process, ``raise`` raises :class:`FailpointHit`, ``sleep`` holds it so that
    the test can look or kill from outside, until it takes the variable back. Raises ``ValueError`` for
    names and actions that do not exist.
    """
    if name not in FAILPOINTS:
        raise ValueError(f"{name!r} is not a registered failpoint")
    wanted = os.environ.get("FLOWFORGE_FAILPOINT")
    if not wanted or os.environ.get("FLOWFORGE_ENV") != "test":
        return
    place, _, action = wanted.partition(":")
    if place not in FAILPOINTS or action not in ACTIONS:
        raise ValueError(f"FLOWFORGE_FAILPOINT={wanted!r}: want <name>:{'|'.join(ACTIONS)}, names {sorted(FAILPOINTS)}")
    if place != name:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "raise":
        raise FailpointHit(f"failpoint {name}")
    log.warning("failpoint %s: held", name)
    deadline = time.monotonic() + SLEEP_SECONDS
    while time.monotonic() < deadline and os.environ.get("FLOWFORGE_FAILPOINT") == wanted:
        time.sleep(0.02)
