"""Key files under ``HOME/secrets``: made on first use, readable by their owner only.

Does not belong here: keys from the environment (store.settings).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path


def kept_key(home: Path, name: str) -> bytes:
    """The key kept in ``home/secrets/<name>.key`` (0600, 32 random bytes as hex); made on first use.

    Two processes that make it at once agree: the first link wins. Raises ``OSError`` when the folder
    cannot be written, ``ValueError`` naming the file when it holds no key.
    """
    path = home / "secrets" / f"{name}.key"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first; its key stands
        finally:
            draft.unlink()
    text = path.read_text().strip()
    if len(text) < 64:
        raise ValueError(f"{path} does not hold a key of 64 hex digits: delete it to have a new one made")
    return bytes.fromhex(text)


def cursor_keys(home: Path, configured: Sequence[str]) -> list[bytes]:
    """The keys that sign cursors, newest first: those configured, else the one kept in ``home``."""
    return [key.encode() for key in configured] or [kept_key(home, "cursor")]
