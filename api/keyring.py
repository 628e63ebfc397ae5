"""The keys tokens are verified with: a JWKS file or URL, or the demo key kept in HOME (spec 06.2).

Lives here: loading, the allow-list by ``kid``, noticing a rotation. Does not belong here: claims (api.auth).
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from store.payloads import kept_key
from store.settings import Settings

DEMO_ALGORITHMS: Final = ("HS256",)
ALGORITHMS: Final = ("EdDSA", "Ed25519", "ES256", "RS256")

URL_REFRESH_SECONDS: Final = 60.0
URL_TIMEOUT_SECONDS: Final = 5.0
MAX_JWKS_BYTES: Final = 1 << 20
_LOG: Final = logging.getLogger("flowforge.api")


class KeysUnusable(Exception):
    """No key to verify tokens with; the text says which setting to change."""


class KeyRing:
    """The present keys. :meth:`refresh` is called off the event loop; reading never blocks.

    ``generation`` rises with every change, so that caches of verified tokens can be emptied.
    Raises :class:`KeysUnusable` when the first load fails; later failures keep the last good keys, for
    ``AUTH__JWKS_MAX_AGE_SECONDS`` at most.
    """

    def __init__(self, settings: Settings) -> None:
        self._source = settings.auth.jwks
        self._is_url = (self._source or "").startswith(("https://", "http://"))
        self._seen: object = None
        self._looked_at = float("-inf")
        self._good_at = time.monotonic()
        self._max_age = settings.auth.jwks_max_age_seconds
        self._keys: dict[str, Key] = {}
        self._demo: Key | None = None
        self.generation = 0
        self.last_error: str | None = None
        if self._source is None:
            if settings.env == "production":
                raise KeysUnusable("FLOWFORGE_AUTH__JWKS is not set: production needs a JWKS file or URL.")
            self._demo = demo_key(settings)
        else:
            try:
                self._load(self._source)
            except (OSError, HTTPException) as error:
                raise KeysUnusable(f"{self._source} cannot be read: {error}") from error

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The signature algorithms accepted: never symmetric ones beside a JWKS, so no key confusion."""
        return ALGORITHMS if self._demo is None else DEMO_ALGORITHMS

    def find(self, kid: object) -> Key | None:
        """The key of that ``kid``; the demo key for a token without one. None = not on the list."""
        if self._demo is not None:
            return self._demo if kid is None else None
        return self._keys.get(kid) if isinstance(kid, str) else None

    def refresh(self) -> None:
        """Look whether the JWKS changed, and load it; keeps the last good keys on any failure."""
        if self._source is None or (self._is_url and time.monotonic() - self._looked_at < URL_REFRESH_SECONDS):
            return
        try:
            self._load(self._source)
            self.last_error = None
        except (KeysUnusable, OSError, HTTPException) as error:
            if self.last_error != str(error):
                _LOG.warning("the JWKS could not be refreshed, the last good keys stay: %s", error)
            self.last_error = str(error)
            if self._keys and time.monotonic() - self._good_at > self._max_age:
                _LOG.error("the JWKS could not be refreshed for %d seconds: its keys are given up", self._max_age)
                self._keys, self._seen = {}, None
                self.generation += 1

    def _load(self, source: str) -> None:
        self._looked_at = time.monotonic()
        content, mark = self._read(source)
        if mark != self._seen:
            self._keys = _read_keys(content, source)
            self._seen = mark
            self.generation += 1
        self._good_at = time.monotonic()

    def _read(self, source: str) -> tuple[bytes, object]:
        """The content of the JWKS and what tells it from others; a file that is in use is not read again."""
        if self._is_url:
            content = _downloaded(source)
            return content, hashlib.sha256(content).digest()
        path = Path(source.removeprefix("file://"))
        stat = path.stat()
        mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return b"" if mark == self._seen else path.read_bytes(), mark


def _downloaded(url: str) -> bytes:
    """The body of ``url``. However slowly it drips, and however large it is, this ends."""
    parts, size, deadline = [], 0, time.monotonic() + URL_TIMEOUT_SECONDS
    with urllib.request.urlopen(url, timeout=URL_TIMEOUT_SECONDS) as answer:  # noqa: S310 - http(s) only
        while part := answer.read1(MAX_JWKS_BYTES):
            parts.append(part)
            size += len(part)
            if size > MAX_JWKS_BYTES:
                raise KeysUnusable(f"the JWKS is larger than {MAX_JWKS_BYTES} bytes")
            if time.monotonic() > deadline:
                raise KeysUnusable(f"the JWKS took longer than {URL_TIMEOUT_SECONDS:.0f} seconds")
    return b"".join(parts)


def demo_key(settings: Settings) -> Key:
    """The demo's symmetric key, kept in HOME and made on first use."""
    return OctKey.import_key(kept_key(settings.home, "demo_jwt"))


def _read_keys(content: bytes, source: str) -> dict[str, Key]:
    """The verification keys by ``kid``; symmetric keys, keys without a kid or not for signatures are left out."""
    keys: dict[str, Key] = {}
    try:
        for entry in json.loads(content)["keys"]:
            kid, kind = entry.get("kid"), _KEY_TYPES.get(entry.get("kty"))
            if isinstance(kid, str) and kind is not None and entry.get("use", "sig") == "sig":
                keys[kid] = kind.import_key(entry)
    except (ValueError, KeyError, TypeError, AttributeError, JoseError) as error:
        raise KeysUnusable(f"{source} is not a JWKS that can be used: {error}") from error
    if not keys:
        raise KeysUnusable(f"{source} holds no EdDSA, ES256 or RS256 key with a kid.")
    return keys


_KEY_TYPES: Final[dict[str, type[RSAKey | ECKey | OKPKey]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
