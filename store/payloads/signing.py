"""Texts that we sign and read again: base64url of 16 bytes HMAC-SHA256 and the body.

Does not belong here: what a body says (cursors, unsubscribes), where keys are kept (keys).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import Final

_SIGNATURE_BYTES: Final = 16


def sealed(purpose: str, body: bytes, key: bytes) -> str:
    """``body`` signed for ``purpose``: a text of one purpose is not accepted for another."""
    return base64.urlsafe_b64encode(_signature(purpose, body, key) + body).rstrip(b"=").decode()


def unsealed(purpose: str, text: str, keys: Sequence[bytes]) -> bytes | None:
    """The body of a text that one of ``keys`` signed, written just as we write it; else None."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    matches = [hmac.compare_digest(signature, _signature(purpose, body, key)) for key in keys]
    is_ours = any(matches) and base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text
    return body if is_ours else None


def _signature(purpose: str, body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"flowforge " + purpose.encode() + b"\n" + body, "sha256")[:_SIGNATURE_BYTES]
