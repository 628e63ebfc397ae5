"""One-click unsubscription (RFC 8058): the signed token of a mail's link, and the note that a click leaves in HOME.

Lives here: both texts, so that who makes links, the API and who books the notes agree. Does not belong here: the
page (api.unsubscribe), the table of suppressions (store.ledger).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from store.payloads.base import instant_text
from store.payloads.keys import kept_key
from store.payloads.signing import sealed, unsealed

INBOX: Final = "inbox"
EVERY_CATEGORY: Final = "all"
BAD_LINK: Final = "The link was cut, changed, or signed with a former key: use the one of a newer mail."
_PURPOSE: Final = "unsubscribe"
_VERSION: Final = 1


class UnsubscribeInvalid(Exception):
    """A token or a note that is not one of ours, or was changed."""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """What a link stops: digests of ``category`` (``all`` = every one) to ``user_id`` over ``channel``."""

    user_id: int
    channel: str
    category: str = EVERY_CATEGORY


def unsubscribe_keys(home: Path, configured: Sequence[str]) -> list[bytes]:
    """The keys that sign links, newest first: those configured, else the one kept in ``home``."""
    return [key.encode() for key in configured] or [kept_key(home, "unsubscribe")]


def write_unsubscribe_token(unsubscribe: Unsubscribe, key: bytes) -> str:
    """The token of a link, signed with ``key`` (the newest one). It does not expire: mails are kept for years."""
    return sealed(_PURPOSE, _body(unsubscribe), key)


def read_unsubscribe_token(text: str, keys: Sequence[bytes]) -> Unsubscribe:
    """Verify and read a token signed with any of ``keys``; raises :class:`UnsubscribeInvalid`."""
    body = unsealed(_PURPOSE, text, keys)
    if body is None:
        raise UnsubscribeInvalid(BAD_LINK)
    version, user_id, channel, category = body.decode().split("|")
    if int(version) != _VERSION:
        raise UnsubscribeInvalid("The link has a version that this server does not know.")
    return Unsubscribe(int(user_id), channel, category)


def leave_note(home: Path, unsubscribe: Unsubscribe, at: datetime) -> bool:
    """Write the note of a click into ``home/inbox``, on disk when this returns; False when it lies there already.

    Raises ``OSError`` when it cannot be written; nothing half-written is then left.
    """
    folder = home / INBOX
    note = folder / f"{_PURPOSE}-{hashlib.sha256(_body(unsubscribe)).hexdigest()[:32]}.json"
    if note.exists():
        return False
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    u = unsubscribe
    content = {"user_id": u.user_id, "channel": u.channel, "category": u.category, "created_at": instant_text(at)}
    draft = folder / f".{note.name}.{secrets.token_hex(4)}.tmp"
    try:
        with draft.open("xb") as file:
            file.write(json.dumps({"format": _VERSION, **content}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(note)
    finally:
        draft.unlink(missing_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def read_note(path: Path) -> tuple[Unsubscribe, datetime]:
    """What a note says, and when it was left; raises :class:`UnsubscribeInvalid` naming the file."""
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != _VERSION:
            raise UnsubscribeInvalid(f"{path}: format {content['format']} is not known here")
        unsubscribe = Unsubscribe(int(content["user_id"]), str(content["channel"]), str(content["category"]))
        return unsubscribe, datetime.fromisoformat(content["created_at"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnsubscribeInvalid(f"{path}: cannot be read: {error!r}") from error


def _body(unsubscribe: Unsubscribe) -> bytes:
    u = unsubscribe
    return f"{_VERSION}|{u.user_id}|{u.channel}|{u.category}".encode()
