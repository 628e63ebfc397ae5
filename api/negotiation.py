"""Content negotiation: Accept and Accept-Encoding (RFC 9110, 12.5).

Does not belong here: making the representation.
"""

from __future__ import annotations

from functools import lru_cache


def _parsed(header: str) -> list[tuple[str, float]]:
    """``(value, weight)`` of each member; a malformed weight counts as 0."""
    members = []
    for part in header.lower().split(","):
        value, *parameters = (p.strip() for p in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, text = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = max(0.0, min(1.0, float(text)))
                except ValueError:
                    weight = 0.0
        if value:
            members.append((value, weight))
    return members


@lru_cache(maxsize=512)
def best_media_type(accept: str | None, offered: tuple[str, ...]) -> str | None:
    """The offered media type the client likes best (the first of equals); None when none is acceptable."""
    if accept is None or not accept.strip():
        return offered[0]
    members = _parsed(accept)
    best, best_weight = None, 0.0
    for media_type in offered:
        weight = _weight(media_type, members)
        if weight > best_weight:
            best, best_weight = media_type, weight
    return best


def _weight(media_type: str, members: list[tuple[str, float]]) -> float:
    """The weight of the most specific member that matches."""
    family = media_type.split("/", maxsplit=1)[0] + "/*"
    found = {value: weight for value, weight in members if value in (media_type, family, "*/*")}
    for pattern in (media_type, family, "*/*"):
        if pattern in found:
            return found[pattern]
    return 0.0


@lru_cache(maxsize=512)
def best_encoding(accept_encoding: str | None) -> str | None:
    """``zstd``, ``gzip`` or None (identity): the smallest form the client takes."""
    if not accept_encoding:
        return None
    weights = dict(_parsed(accept_encoding))
    default = weights.get("*", 0.0)
    candidates = [(weights.get(name, default), name) for name in ("zstd", "gzip")]
    best = max(candidates, key=lambda c: c[0])
    return best[1] if best[0] > 0 and best[0] >= weights.get("identity", 0.0) else None
