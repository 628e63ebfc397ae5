"""Query parameters: one frozen model per path; a name that is not listed is refused (spec 06.2).

Lives here: names, defaults, bounds and what the docs say of them. Does not belong here: rules that need
data (api.periods) or more than parameters.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from store.payloads import DEFAULT_LIMIT, DigestKind, Mode

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _day(value: object) -> date:
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("write a date as YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("no such date in the calendar; write one as YYYY-MM-DD") from None


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
CursorText = Annotated[
    str | None,
    Field(max_length=1024, description="`next_cursor` or `prev_cursor` of an earlier page, unchanged."),
]


class Parameters(BaseModel):
    """Base of every set of query parameters: unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoParameters(Parameters):
    """A path without query parameters."""


class FeedParameters(Parameters):
    """Of the feed."""

    mode: Annotated[Mode, Field(description="Order of the feed.")] = "ranked"
    limit: Annotated[int, Field(ge=1, le=100, description="Items on a page.")] = DEFAULT_LIMIT
    cursor: CursorText = None


class DeltaParameters(Parameters):
    """Of the changes of a feed."""

    mode: Annotated[Mode, Field(description="Order of the feed.")] = "ranked"
    since: Annotated[
        str, Field(max_length=64, description="`generation` of the feed the client holds; empty = it holds none.")
    ] = ""


class RecommendationParameters(Parameters):
    """Of friend recommendations."""

    limit: Annotated[int, Field(ge=1, le=50, description="Items on a page.")] = DEFAULT_LIMIT
    cursor: CursorText = None


class DigestParameters(Parameters):
    """Of the list of digests."""

    kind: Annotated[DigestKind | None, Field(description="Only digests of this kind.")] = None
    limit: Annotated[int, Field(ge=1, le=100, description="Items on a page.")] = DEFAULT_LIMIT
    cursor: CursorText = None


class UsageParameters(Parameters):
    """Of metered use, days in the user's time zone."""

    meter: Annotated[str | None, Field(max_length=100, description="Only this meter.")] = None
    from_: Annotated[Day | None, Field(alias="from", description="First day; default: 30 days before `to`.")] = None
    to: Annotated[Day | None, Field(description="Day after the last; default: the day of `as_of`.")] = None


class MetricParameters(Parameters):
    """Of the analysts' metrics, days in the reporting time zone."""

    from_: Annotated[Day | None, Field(alias="from", description="First day; default: 365 days before `to`.")] = None
    to: Annotated[Day | None, Field(description="Day after the last; default: the day of `as_of`.")] = None
    grain: Annotated[
        Literal["day", "week", "month"] | None, Field(description="Only rows of this grain, where rows have one.")
    ] = None
    currency: Annotated[
        str | None, Field(pattern=r"^[A-Z]{3}$", description="Only rows of this currency, where rows have one.")
    ] = None


class V1FeedParameters(Parameters):
    """Of the v1 feed."""

    page: Annotated[int, Field(ge=1, le=500, description="Number of the page.")] = 1
    per_page: Annotated[int, Field(ge=1, le=100, description="Items on a page.")] = DEFAULT_LIMIT
