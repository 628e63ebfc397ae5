"""Who may do what: the one table of scopes per role (spec 06.2).

Lives here: roles, scopes and the table that the permission docs and the test matrix are made from.
Does not belong here: how a token is checked (api.auth) or a request let in (api.access).
"""

from __future__ import annotations

from typing import Final, Literal

Role = Literal["anonymous", "user", "service", "analyst", "operator"]
Scope = Literal[
    "feed:read",
    "recommendations:read",
    "digests:read",
    "usage:read",
    "users:read",
    "metrics:read",
    "operations:read",
]

DESCRIPTIONS: Final[dict[Scope, str]] = {
    "feed:read": "a person's precomputed feed",
    "recommendations:read": "a person's friend recommendations",
    "digests:read": "a person's built digests",
    "usage:read": "a person's entitlements and metered use",
    "users:read": "the same of any person, beside the path's own scope",
    "metrics:read": "the analysts' metrics",
    "operations:read": "which generations are kept and served",
}

_OWN: Final[frozenset[Scope]] = frozenset(("feed:read", "recommendations:read", "digests:read", "usage:read"))

SCOPES: Final[dict[Role, frozenset[Scope]]] = {
    "anonymous": frozenset(),
    "user": _OWN,
    "service": _OWN | {"users:read"},
    "analyst": frozenset(("metrics:read",)),
    "operator": frozenset(("operations:read", "metrics:read")),
}


def granted(role: Role, requested: str | None) -> frozenset[Scope]:
    """Scopes of a token: those of its role, narrowed by its ``scope`` claim (space separated) when it has one."""
    scopes = SCOPES[role]
    if requested is None:
        return scopes
    words = set(requested.split())
    return frozenset(scope for scope in scopes if scope in words)


def role_named(name: object) -> Role | None:
    """The role of that name; a token without one is a user's. None for an unknown or anonymous role."""
    if name is None:
        return "user"
    for role in SCOPES:
        if role == name and role != "anonymous":
            return role
    return None
