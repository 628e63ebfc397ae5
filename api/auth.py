"""Who is asking: bearer tokens verified, and for a short while remembered (spec 06.2).

Lives here: signature and claims of a JWT, the principal they make, and the demo's own tokens. Does not
belong here: what a principal may do (api.scopes), how a request is refused (api.access), where keys come
from (api.keyring).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from joserfc import jws, jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import Key

from api.keyring import DEMO_ALGORITHMS, KeyRing, KeysUnusable, demo_key
from api.scopes import Role, Scope, granted, role_named
from store.settings import Settings

MAX_TOKEN_BYTES: Final = 4096
CACHE_SECONDS: Final = 60.0
CACHE_ENTRIES: Final = 10_000
NBF_LEEWAY_SECONDS: Final = 5.0
_LARGEST_ID: Final = (1 << 63) - 1


class TokenInvalid(Exception):
    """The token proves nothing; the text says why, without repeating it."""


class TokenExpired(TokenInvalid):
    """It proved something until a moment ago."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. ``user_id`` is None when the subject is no user of the app."""

    subject: str
    role: Role
    scopes: frozenset[Scope]
    expires_at: float
    user_id: int | None = field(init=False)
    key: str = field(init=False)
    """Names the principal among those of all roles."""

    def __post_init__(self) -> None:
        """Read once, because verified principals are remembered."""
        object.__setattr__(self, "user_id", user_id_of(self.subject))
        object.__setattr__(self, "key", f"{self.role}:{self.subject}")


def user_id_of(text: str) -> int | None:
    """A user id from its canonical text (decimal, no leading zero, 63 bits); None for anything else."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        return None
    value = int(text)
    return value if str(value) == text and value <= _LARGEST_ID else None


class Verifier:
    """Verifies bearer tokens with the keys of a :class:`KeyRing`."""

    def __init__(self, settings: Settings, keys: KeyRing) -> None:
        self._issuer = settings.auth.issuer
        self._audience = settings.auth.audience
        self._keys = keys
        self._cache: dict[str, tuple[Principal, float]] = {}
        self._cached_generation = keys.generation

    def verify(self, token: str) -> Principal:
        """The principal of ``token``; raises :class:`TokenInvalid`."""
        return self.verified(token)[0]

    def verified(self, token: str) -> tuple[Principal, float]:
        """The principal of ``token``, and when it has to be verified anew (Unix seconds): until then it is remembered.

        That is when the token expires, but no later than after 60 s; nothing is remembered beyond a change of
        keys. Raises :class:`TokenInvalid`.
        """
        now = time.time()
        if self._cached_generation != self._keys.generation:
            self._cache.clear()
            self._cached_generation = self._keys.generation
        known = self._cache.get(token)
        if known is not None and now < known[1]:
            return known
        principal = self._proven(token, now)
        self._cache.pop(token, None)
        if len(self._cache) >= CACHE_ENTRIES:
            del self._cache[next(iter(self._cache))]
        found = self._cache[token] = (principal, min(principal.expires_at, now + CACHE_SECONDS))
        return found

    def _proven(self, token: str, now: float) -> Principal:
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenInvalid(f"The token is longer than {MAX_TOKEN_BYTES} bytes.")
        registry = jws.JWSRegistry(algorithms=self._keys.algorithms, strict_check_header=False)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SecurityWarning)  # EdDSA: named by our contract, if renamed by RFC 9864
                claims = jwt.decode(token, self._key, registry=registry).claims
        except (JoseError, ValueError, TypeError) as error:
            raise TokenInvalid("The token's signature could not be verified with the keys accepted here.") from error
        return self._principal(claims, now)

    def _key(self, token: object) -> Key:
        headers = token.headers()  # type: ignore[attr-defined]  # joserfc's protocol of a token
        key = self._keys.find(headers.get("kid"))
        if key is None:
            raise ValueError("no key of that kid")
        return key

    def _principal(self, claims: dict[str, object], now: float) -> Principal:
        if claims.get("iss") != self._issuer:
            raise TokenInvalid(f"The token's iss is not {self._issuer}.")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise TokenInvalid(f"The token's aud is not {self._audience}.")
        expires_at, not_before = _time(claims, "exp"), _time(claims, "nbf")
        if expires_at <= now:
            raise TokenExpired("The token has expired: get a new one.")
        if not_before > now + NBF_LEEWAY_SECONDS:
            raise TokenInvalid("The token is not valid yet (nbf).")
        subject = claims.get("sub")
        if subject is None or subject == "":
            raise TokenInvalid("The token has no sub.")
        if not isinstance(subject, str):
            raise TokenInvalid('The token\'s sub is not text: ids are written in quotes, as "42".')
        role = role_named(claims.get("role"))
        if role is None:
            raise TokenInvalid("The token's role is not one of user, service, analyst, operator.")
        requested = claims.get("scope")
        if requested is not None and not isinstance(requested, str):
            raise TokenInvalid("The token's scope is not text.")
        return Principal(subject, role, granted(role, requested), expires_at)


def _time(claims: dict[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise TokenInvalid(f"The token has no {name} in seconds.")
    return float(value)


def demo_token(
    settings: Settings,
    subject: int | str,
    *,
    role: Role = "user",
    scopes: Collection[Scope] | None = None,
    ttl_seconds: int = 3600,
) -> str:
    """A token of the demo (HS256, the key kept in HOME) for a user id or the name of a service.

    ``scopes`` narrows what the role has. Raises :class:`KeysUnusable` where the demo key is not accepted:
    in production, and beside a JWKS.
    """
    if settings.auth.jwks is not None or settings.env == "production":
        raise KeysUnusable("Demo tokens are accepted only while FLOWFORGE_AUTH__JWKS is unset, outside production.")
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": settings.auth.issuer,
        "aud": settings.auth.audience,
        "sub": str(subject),
        "role": role,
        "iat": now,
        "nbf": now,
        "exp": now + ttl_seconds,
    }
    if scopes is not None:
        claims["scope"] = " ".join(sorted(scopes))
    (algorithm,) = DEMO_ALGORITHMS
    return jwt.encode({"alg": algorithm}, claims, demo_key(settings), algorithms=DEMO_ALGORITHMS)
