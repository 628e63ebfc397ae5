"""What every payload is made of: the texts of ids, instants and dates, and the frozen base model.

Does not belong here: any response.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

Id = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,19}$")]

SignedId = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,19}$")]

ItemId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]

Instant = Annotated[
    str,
    StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

Day = Annotated[
    str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d$"), WithJsonSchema({"type": "string", "format": "date"})
]

Count = Annotated[int, Field(ge=0)]

State = Literal["ready", "empty", "cold_start", "building", "degraded"]

Mode = Literal["ranked", "chronological"]

DigestKind = Literal["daily", "weekdays", "weekly"]

Metric = Literal["growth", "retention", "engagement", "revenue", "plans"]

METRICS: Final[tuple[Metric, ...]] = ("growth", "retention", "engagement", "revenue", "plans")

DEFAULT_LIMIT: Final = 20


class Payload(BaseModel):
    """Base of every output model: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def id_text(value: int) -> str:
    """An id as clients see it: a decimal string."""
    return str(value)


def instant_text(value: datetime) -> str:
    """An instant as clients see it: RFC 3339, UTC, microseconds, ``Z``. ``value`` must be aware."""
    if value.tzinfo is None:
        raise ValueError(f"an instant needs a time zone: {value!r}")
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").zfill(26) + "Z"
