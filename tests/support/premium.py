"""Premium worlds by hand: one row builder per source table, and the product computed over them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from assets.frame import Inputs, Result
from assets.premium.product import CONTRACTS, INPUTS, PREVIOUS, premium
from quality.staged import STAGED
from store.settings import PremiumSettings

Row = dict[str, Any]
World = dict[str, list[Row]]
SCHEMAS = {contract.name: contract for contract in STAGED}
US = timedelta(microseconds=1)


# ---------------------------------------------------------------- building worlds


def at(text: str) -> datetime:
    """`2024-03-01` or `2024-03-01 12:30` as an instant (UTC)."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def user(id_: int, **more: Any) -> Row:
    row = {
        "id": id_,
        "handle": f"u{id_}",
        "display_name": f"User {id_}",
        "time_zone": "UTC",
        "locale": "en",
        "country": None,
        "status": "active",
        "profile_visibility": "public",
        "friend_list_visibility": "public",
        "is_discoverable": True,
        "wants_recommendations": True,
        "created_at": at("2024-01-01"),
        "updated_at": at("2024-01-01"),
        "last_seen_at": None,
    }
    return {**row, **more}


def plan(id_: int, code: str, **more: Any) -> Row:
    return {"id": id_, "code": code, "version": 1, "name": code, "tier_rank": id_, "is_paid": code != "free", **more}


def feature(plan_id: int, key: str, **more: Any) -> Row:
    row = {
        "plan_id": plan_id,
        "feature_key": key,
        "kind": "metered",
        "limit_value": 100,
        "meter_key": key,
        "reset": "month_anniversary",
        "overage": "block",
        "rollover_max": 0,
    }
    return {**row, **more}


def meter(key: str, aggregation: str, value_property: str | None = None) -> Row:
    return {"key": key, "aggregation": aggregation, "value_property": value_property, "unit": "unit"}


def version(id_: int, **more: Any) -> Row:
    row = {
        "id": id_,
        "subscription_id": 1,
        "user_id": 1,
        "plan_id": 2,
        "amount_minor": 1000,
        "currency": "USD",
        "interval": "month",
        "quantity": 1,
        "discount_minor": 0,
        "status": "active",
        "anchor_at": at("2024-01-01"),
        "trial_end": None,
        "paid_until": None,
        "valid_from": at("2024-01-01"),
        "valid_to": None,
    }
    row = {**row, **more}
    return {"recorded_at": row["valid_from"], **row}


def grant(id_: int, **more: Any) -> Row:
    row = {
        "id": id_,
        "user_id": 1,
        "feature_key": "calls",
        "amount": 100,
        "priority": 1,
        "effective_at": at("2024-01-01"),
        "expires_at": None,
        "voided_at": None,
    }
    return {**row, **more}


def event(id_: str, occurred_at: datetime, **more: Any) -> Row:
    row = {
        "source": "app",
        "event_id": id_,
        "user_id": 1,
        "meter_key": "calls",
        "value": None,
        "subject": None,
        "occurred_at": occurred_at,
        "ingested_at": occurred_at,
        "properties": "{}",
    }
    return {**row, **more}


def inputs(
    world: World,
    as_of: datetime,
    config: PremiumSettings | None = None,
    previous: Result | None = None,
    previous_as_of: datetime | None = None,
) -> Inputs[PremiumSettings]:
    """The world's rows as staged frames (erased users' rows already removed, as the staged tables have it)."""
    frames = {}
    for name in INPUTS:
        contract = SCHEMAS[name]
        rows = world.get(name.removeprefix("staged_"), [])
        frames[name] = pl.DataFrame(rows, schema=contract.schema).lazy()
    before = {name: (previous.tables[name] if previous else CONTRACTS[name].empty()).lazy() for name in PREVIOUS}
    return Inputs(frames, before, previous_as_of, config or PremiumSettings(), as_of)


def compute(world: World, as_of: datetime, config: PremiumSettings | None = None, **more: Any) -> Result:
    return premium.compute(inputs(world, as_of, config, **more))


def rows(frame: pl.DataFrame, *drop: str) -> list[Row]:
    return frame.drop(drop).to_dicts()
