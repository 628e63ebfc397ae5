"""Health: is the process alive, and is what it serves fresh (spec 06.2)."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import Request, Response

from api.conditional import JSON
from api.runtime import Runtime, runtime_of
from store.payloads import Ready, instant_text
from store.payloads.feed_words import span


async def livez() -> Response:
    """200 and nothing else while the process answers."""
    return Response(status_code=200, headers={"cache-control": "no-store"})


async def readyz(request: Request) -> Response:
    """Whether data are served, how old they are, and what is wrong; 503 with the same body when there are none."""
    ready = readiness(runtime_of(request), datetime.now(UTC))
    status = 503 if ready.status == "unavailable" else 200
    headers = {"cache-control": "no-store"} | ({"retry-after": "5"} if status == 503 else {})
    return Response(ready.model_dump_json(), status, media_type=JSON, headers=headers)


def readiness(runtime: Runtime, now: datetime) -> Ready:
    """The state of what is served at ``now``."""
    generation, error = runtime.generations.current(), runtime.generations.last_error
    reasons = [] if error is None else [f"the newest generation is not served: {error}"]
    if runtime.keys.last_error is not None:
        reasons.append(f"the JWKS could not be refreshed: {runtime.keys.last_error}")
    revoked_ago = None if (known := runtime.revocations.age_seconds()) is None else int(known)
    if runtime.revocations.mode != "off" and runtime.revocations.is_stale():
        reasons.append(_stale(runtime, revoked_ago))
    if generation is None:
        reasons.insert(0, "no generation has been published yet")
        return Ready(
            status="unavailable",
            generation=None,
            as_of=None,
            data_age_seconds=None,
            revocations_age_seconds=revoked_ago,
            reasons=reasons,
        )
    age = max(0, int((now - generation.as_of).total_seconds()))
    limit = runtime.settings.api.max_data_age_seconds
    if age > limit:
        reasons.append(f"the data are {span(age)} old, more than {span(limit)}")
    return Ready(
        status="degraded" if reasons else "ok",
        generation=generation.id,
        as_of=instant_text(generation.as_of),
        data_age_seconds=age,
        revocations_age_seconds=revoked_ago,
        reasons=reasons,
    )


def _stale(runtime: Runtime, age: int | None) -> str:
    what = "revocations were never read" if age is None else f"revocations are {age} seconds old"
    limit, error = runtime.settings.revocations.stale_seconds, runtime.revocations.last_error
    effect = (
        "items that are not public are withheld"
        if runtime.revocations.mode == "required"
        else "the last known ones hold"
    )
    return f"{what}, more than {limit:g}: {effect}" + (f" ({error})" if error else "")
