"""Letting a request in: the bearer token, the scope, and whose data are meant (spec 06.2).

Lives here: the dependencies every protected path has. Order: 401, 403, then parameters (422), then 404.
Does not belong here: verifying tokens (api.auth), the table of scopes (api.scopes).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Path, Request
from pydantic import StringConstraints

from api.auth import Principal, TokenInvalid, user_id_of
from api.parameters import accepted
from api.problems import ProblemRaised, invalid_parameter
from api.runtime import Runtime, generation_of, runtime_of
from api.scopes import Scope
from store.serving import Generation

Dependency = Callable[[Request], Awaitable[None]]
RATE: Final = "flowforge.rate"
"""Where the RateLimit headers of a request stand in its scope; the edge adds them to whatever is answered."""
_CHALLENGE = 'Bearer realm="flowforge"'


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose data are asked for. A user of a token need not be known to the generation yet."""

    user_id: int
    is_token_owner: bool


def principal_of(request: Request) -> Principal:
    """Who is asking; raises a 401 problem that says what is wrong with the token."""
    headers = request.headers.getlist("authorization")
    scheme, _, token = (headers[0] if len(headers) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        detail = "Send one header Authorization: Bearer <token>; `flowforge token` makes one for the demo."
        raise ProblemRaised("unauthorized", detail, headers={"www-authenticate": _CHALLENGE})
    try:
        return runtime_of(request).verifier.verify(token.strip())
    except TokenInvalid as error:
        challenge = f'{_CHALLENGE}, error="invalid_token"'
        raise ProblemRaised("unauthorized", str(error), headers={"www-authenticate": challenge}) from error


def authorized(*scopes: Scope) -> Dependency:
    """A dependency that admits only tokens with all of ``scopes``, and no parameter given twice."""

    async def admit(request: Request) -> None:
        principal = principal_of(request)
        await counted(request, principal)
        request.state.principal = principal
        missing = [scope for scope in scopes if scope not in principal.scopes]
        if missing:
            challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{" ".join(scopes)}"'
            detail = f"This needs a token with the scope {' and '.join(missing)}."
            raise ProblemRaised("forbidden", detail, headers={"www-authenticate": challenge})
        _refuse_repeated(request)

    return admit


async def counted(request: Request, principal: Principal) -> None:
    """Count the request against the principal's limit: also one that is refused later."""
    verdict = await runtime_of(request).limits.admit(principal)
    request.scope[RATE] = verdict.headers
    if not verdict.is_admitted:
        rate, wait = verdict.rate, verdict.retry_seconds
        detail = f"More than {rate.requests} requests in {rate.seconds} seconds: wait {wait} s (Retry-After)."
        raise ProblemRaised("quota-exceeded", detail, headers={"retry-after": str(wait)})


def _refuse_repeated(request: Request) -> None:
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if names.count(name) > 1:
            raise invalid_parameter(name, "given more than once: keep one")


async def token_owner(request: Request) -> None:
    """``/v2/me``: the token's ``sub``."""
    user_id = request.state.principal.user_id
    if user_id is None:
        detail = "This token's sub is no user id (1 to 19 digits, no leading zero): /v2/me is whoever the sub names. "
        if "users:read" in request.state.principal.scopes:
            detail += "Read /v2/users/{user_id}/… instead."
        else:
            detail += "Get a token whose sub is the user's id."
        raise ProblemRaised("forbidden", detail)
    request.state.subject = Subject(user_id, is_token_owner=True)


UserId = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,19}$"),
    accepted("write a user's id, 1 to 19 digits"),
    Path(description="The user's id.", examples=["42"]),
]


async def named_user(request: Request, user_id: UserId) -> None:
    """``/v2/users/{user_id}``: a user known to the generation, else 404."""
    value = user_id_of(user_id)
    generation = generation_of(request)
    if value is None or not knows_user(runtime_of(request), generation, value):
        raise ProblemRaised("not-found", f"There is no user {user_id}.")
    request.state.subject = Subject(value, is_token_owner=False)


def knows_user(runtime: Runtime, generation: Generation, user_id: int) -> bool:
    """Whether the user is active in the newest snapshot of the generation, and since, as far as is known."""
    users = generation.dataset("users")
    is_known = users is not None and users.find(user_id) is not None
    return is_known and not runtime.withholding.is_gone(generation, user_id)


def subject_of(request: Request) -> Subject:
    """Whose data the request is about."""
    subject: Subject = request.state.subject
    return subject
