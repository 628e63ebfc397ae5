"""The signed cursor: opaque to clients, bound to a resource, its variant and the user (spec 06.2).

Does not belong here: where a page is cut (api).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from store.payloads.signing import sealed, unsealed


class CursorInvalid(Exception):
    """The cursor was changed, is not ours, or was issued for something else; the text says which."""


Resource = Literal["feed", "friend_recommendations", "digests"]

_RESOURCES: Final[dict[str, Resource]] = {name: name for name in get_args(Resource)}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins or ends: bound to a resource, its variant (mode, kind or empty) and the user.

    ``position`` counts the items before the cut in the pinned generation. ``value`` names the item beside
    the cut for when that generation is gone: a feed item's sort key, a candidate id, or
    ``due_at|digest_id``. A forward cursor's page follows the cut, a backward one's ends at it.
    """

    resource: Resource
    variant: str
    user_id: int
    generation: str
    is_forward: bool
    position: int
    value: str


_PURPOSE: Final = "cursor"


def write_cursor(cursor: Cursor, key: bytes) -> str:
    """Sign ``cursor`` with ``key`` (the newest one)."""
    c = cursor
    direction = "f" if c.is_forward else "b"
    body = f"1|{c.resource}|{c.variant}|{c.user_id}|{c.generation}|{direction}|{c.position}|{c.value}".encode()
    return sealed(_PURPOSE, body, key)


def read_cursor(text: str, keys: Sequence[bytes]) -> Cursor:
    """Verify and read a cursor signed with any of ``keys``; raises :class:`CursorInvalid`."""
    body = unsealed(_PURPOSE, text, keys)
    if body is None:
        raise CursorInvalid("The cursor was changed, or signed with a key that is no longer accepted.")
    version, resource, variant, user_id, generation, direction, position, value = body.decode().split("|", 7)
    if version != "1":
        raise CursorInvalid("The cursor has a version this server does not know.")
    return Cursor(_RESOURCES[resource], variant, int(user_id), generation, direction == "f", int(position), value)
