"""Time zones by name, as the ``tzdata`` package knows them and never as the machine does (04.1).

Lives here: which names there are and the rules of each. Does not belong here: what a wall clock means
(``assets.local_time``).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]

TZDATA_VERSION: str = tzdata.IANA_VERSION
"""The IANA release the zones come from, e.g. ``2026f``."""
FALLBACK_ZONE = "UTC"


@cache
def zone_names() -> frozenset[str]:
    """The names tzdata knows, in their exact case."""
    return frozenset((files("tzdata") / "zones").read_text(encoding="utf-8").split())


def known_zone(name: str) -> str:
    """``name`` if tzdata has it under exactly this name, else UTC."""
    return name if name in zone_names() else FALLBACK_ZONE


@cache
def zone_info(name: str) -> ZoneInfo:
    """The zone of the tzdata package; raises ``KeyError`` for a name it does not have."""
    if name not in zone_names():
        raise KeyError(name)
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as source:
        return ZoneInfo.from_file(source, key=name)
