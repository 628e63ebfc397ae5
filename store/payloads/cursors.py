"""The signed cursor: opaque to clients, bound to a resource, its variant and the user (spec 06.2).

Does not belong here: where a page is cut (api).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args


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


_SIGNATURE_BYTES: Final = 16


def write_cursor(cursor: Cursor, key: bytes) -> str:
    """Sign ``cursor`` with ``key`` (the newest one): base64url of 16 bytes HMAC-SHA256 and the fields."""
    c = cursor
    direction = "f" if c.is_forward else "b"
    body = f"1|{c.resource}|{c.variant}|{c.user_id}|{c.generation}|{direction}|{c.position}|{c.value}".encode()
    return base64.urlsafe_b64encode(_signature(body, key) + body).rstrip(b"=").decode()


def read_cursor(text: str, keys: Sequence[bytes]) -> Cursor:
    """Verify and read a cursor signed with any of ``keys``; raises :class:`CursorInvalid`."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise CursorInvalid("The cursor is not one of ours.") from None
    signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    matches = [hmac.compare_digest(signature, _signature(body, key)) for key in keys]
    if not any(matches) or base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise CursorInvalid("The cursor was changed, or signed with a key that is no longer accepted.")
    version, resource, variant, user_id, generation, direction, position, value = body.decode().split("|", 7)
    if version != "1":
        raise CursorInvalid("The cursor has a version this server does not know.")
    return Cursor(_RESOURCES[resource], variant, int(user_id), generation, direction == "f", int(position), value)


def _signature(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"flowforge cursor\n" + body, "sha256")[:_SIGNATURE_BYTES]
