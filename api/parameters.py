"""Query parameters: one frozen model per path; a name that is not listed is refused (spec 06.2).

Lives here: names, defaults, bounds and what the docs say of them. Does not belong here: rules that need
data (api.periods) or more than parameters.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

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
    Field(description="`next_cursor` or `prev_cursor` of an earlier page, unchanged."),
]


def accepted(words: str) -> WrapValidator:
    """Says in our words what is accepted, whatever is wrong with what was given; stands last in an ``Annotated``."""

    def checked(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(words) from None

    return WrapValidator(checked)


def _whole(lowest: int, highest: int) -> WrapValidator:
    return accepted(f"write a whole number from {lowest} to {highest}")


class Parameters(BaseModel):
    """Base of every set of query parameters: unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoParameters(Parameters):
    """A path without query parameters."""


FeedMode = Annotated[Mode, Field(description="Order of the feed."), accepted(f"write {' or '.join(get_args(Mode))}")]


class FeedParameters(Parameters):
    """Of the feed."""

    mode: FeedMode = "ranked"
    limit: Annotated[int, Field(ge=1, le=100, description="Items on a page."), _whole(1, 100)] = DEFAULT_LIMIT
    cursor: CursorText = None


class DeltaParameters(Parameters):
    """Of the changes of a feed."""

    mode: FeedMode = "ranked"
    since: Annotated[
        str,
        Field(description="`generation` of the feed the client holds; empty or not kept here = it holds none."),
    ] = ""


class RecommendationParameters(Parameters):
    """Of friend recommendations."""

    limit: Annotated[int, Field(ge=1, le=50, description="Items on a page."), _whole(1, 50)] = DEFAULT_LIMIT
    cursor: CursorText = None


class DigestParameters(Parameters):
    """Of the list of digests."""

    kind: Annotated[
        DigestKind | None,
        Field(description="Only digests of this kind."),
        accepted(f"write {', '.join(get_args(DigestKind))}, or leave it out"),
    ] = None
    limit: Annotated[int, Field(ge=1, le=100, description="Items on a page."), _whole(1, 100)] = DEFAULT_LIMIT
    cursor: CursorText = None


class UsageParameters(Parameters):
    """Of metered use, days in the user's time zone."""

    meter: Annotated[
        str | None,
        Field(max_length=100, description="Only this meter."),
        accepted("write a meter's key, at most 100 characters"),
    ] = None
    from_: Annotated[Day | None, Field(alias="from", description="First day; default: 30 days before `to`.")] = None
    to: Annotated[Day | None, Field(description="Day after the last; default: the day of `as_of`.")] = None


def _no_currency(_given: object) -> None:
    raise ValueError("these rows have no currency: leave it out")


Currency = Annotated[
    str | None,
    Field(pattern=r"^[A-Z]{3}$", description="Only rows of this currency."),
    accepted("write three capital letters, as EUR"),
]
NoCurrency = Annotated[
    None,
    BeforeValidator(_no_currency),
    Field(description="These rows have no currency: any is refused."),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"}),
]
_GRAIN: Final = "Only rows of this grain."
_ONE_GRAIN: Final = "Every row is of this grain: any other is refused."


class MetricParameters(Parameters):
    """Of the analysts' metrics, days in the reporting time zone.

    The contract gives every metric the same four; what its rows cannot be filtered by is refused, because rows of
    another grain or currency than was asked for would be a wrong answer that looks right.
    """

    from_: Annotated[Day | None, Field(alias="from", description="First day; default: 365 days before `to`.")] = None
    to: Annotated[Day | None, Field(description="Day after the last; default: the day of `as_of`.")] = None
    grain: Literal["day", "week", "month"] | None = None
    currency: str | None = None


class GrowthParameters(MetricParameters):
    """Of growth."""

    grain: Annotated[
        Literal["day", "week", "month"] | None,
        Field(description=_GRAIN),
        accepted("growth is by day, week or month"),
    ] = None
    currency: NoCurrency = None


class RetentionParameters(MetricParameters):
    """Of retention."""

    grain: Annotated[
        Literal["week", "month"] | None, Field(description=_GRAIN), accepted("retention is by week or month")
    ] = None
    currency: NoCurrency = None


class EngagementParameters(MetricParameters):
    """Of engagement."""

    grain: Annotated[Literal["day"] | None, Field(description=_ONE_GRAIN), accepted("engagement is by day")] = None
    currency: NoCurrency = None


class RevenueParameters(MetricParameters):
    """Of revenue."""

    grain: Annotated[Literal["month"] | None, Field(description=_ONE_GRAIN), accepted("revenue is by month")] = None
    currency: Currency = None


class PlanParameters(MetricParameters):
    """Of plans."""

    grain: Annotated[Literal["day"] | None, Field(description=_ONE_GRAIN), accepted("plans are by day")] = None
    currency: Currency = None


class V1FeedParameters(Parameters):
    """Of the v1 feed."""

    page: Annotated[int, Field(ge=1, le=500, description="Number of the page."), _whole(1, 500)] = 1
    per_page: Annotated[int, Field(ge=1, le=100, description="Items on a page."), _whole(1, 100)] = DEFAULT_LIMIT
