"""Usage events at the door (rules 1, 13 and 14): visible, the first of its key, fit to be counted.

Frames in, frames out. Not here: what the counted events add up to.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from store.settings import PremiumSettings

KEY = ("source", "event_id")
ORDER = ("occurred_at", "ingested_at", "source", "event_id")
"""Rule 15: the total order of events; ``seq`` is an event's place in it."""
SAID = ("user_id", "meter_key", "value", "subject", "occurred_at", "properties")
"""What a later row of the same key must repeat to be a duplicate (rule 13), in the order conflicts name it."""
VALUED = ("sum", "max", "min", "latest")
LIMIT = 10**15
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


@dataclass(frozen=True)
class Intake:
    """What became of the visible events."""

    counted: pl.DataFrame
    """``seq, user_id, meter_key, aggregation, subject, occurred_at, amount``, in the order of ``seq``."""
    quarantine: pl.DataFrame
    conflicts: pl.DataFrame
    summary: pl.DataFrame


def visible(rows: pl.LazyFrame, known_at: str, as_of: datetime) -> pl.LazyFrame:
    """Rule 1: what the platform had been told before ``as_of``."""
    return rows.filter(pl.col(known_at) < as_of)


def take_in(events: pl.DataFrame, users: pl.DataFrame, meters: pl.DataFrame, config: PremiumSettings) -> Intake:
    """Rules 13 and 14 over the visible events: dedupe first, then quarantine."""
    first, duplicates, conflicts = one_per_key(events)
    judged = judge_events(first, users, meters, config)
    quarantine = judged.filter(pl.col("reason").is_not_null())
    counted = judged.filter(pl.col("reason").is_null())
    summary = pl.DataFrame(
        {
            "events_in": [events.height],
            "counted": [counted.height],
            "duplicates": [duplicates],
            "conflicts": [conflicts.height],
            "quarantined": [quarantine.height],
        }
    )
    return Intake(
        counted.sort(ORDER).with_row_index("seq").drop(*KEY, "ingested_at", "reason"),
        quarantine.select(*KEY, "ingested_at", "user_id", "meter_key", "reason"),
        conflicts,
        summary,
    )


def one_per_key(events: pl.DataFrame) -> tuple[pl.DataFrame, int, pl.DataFrame]:
    """Rule 13: *the* event of each key, the number of duplicates, and the conflicts."""
    repeated = events.select(pl.struct(KEY).is_duplicated()).to_series()
    again = events.filter(repeated)
    kept = again.filter(pl.col("ingested_at") == pl.col("ingested_at").min().over(KEY))
    pairs = again.join(kept, on=KEY, suffix="_kept").filter(pl.col("ingested_at") > pl.col("ingested_at_kept"))
    canonical = _canonical_properties(pairs)
    differs = [pl.col(name).ne_missing(pl.col(f"{name}_kept")) for name in SAID]
    conflicts = (
        pairs.with_columns(
            pl.col(name).replace_strict(canonical, return_dtype=pl.String) for name in ("properties", "properties_kept")
        )
        .with_columns(
            pl.concat_list(
                pl.when(differ).then(pl.lit(name)) for name, differ in zip(SAID, differs, strict=True)
            )
            .list.drop_nulls()
            .list.join(",")
            .alias("fields")
        )
        .filter(pl.col("fields") != "")
        .select(*KEY, "ingested_at", pl.col("ingested_at_kept").alias("kept_ingested_at"), "fields")
    )  # fmt: skip
    first = pl.concat([events.filter(~repeated), kept])
    return first, pairs.height - conflicts.height, conflicts


def _canonical_properties(pairs: pl.DataFrame) -> dict[str, str]:
    texts = pl.concat([pairs["properties"], pairs["properties_kept"]]).unique()
    return {text: canonical_json(text) for text in texts.to_list()}


def canonical_json(text: str) -> str:
    """One text for all spellings of the same JSON value; text that is no JSON stands for itself."""
    try:
        return json.dumps(_canonical(json.loads(text, parse_int=Decimal, parse_float=Decimal)), sort_keys=True)
    except ValueError:
        return text


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, Decimal):
        return {"number": _spelling(value)}
    return [value] if isinstance(value, str) else value


def _spelling(number: Decimal) -> str:
    sign, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    short = text.rstrip("0")
    return f"{'-' if sign and short else ''}{short}e{int(exponent) + len(text) - len(short) if short else 0}"


def judge_events(
    events: pl.DataFrame, users: pl.DataFrame, meters: pl.DataFrame, config: PremiumSettings
) -> pl.DataFrame:
    """Rule 14: add ``reason`` (null = counted), ``aggregation`` and ``amount`` (1 for counting meters)."""
    known = users.select(pl.col("id").alias("user_id"), pl.lit(value=True).alias("is_user"))
    rows = events.join(known, on="user_id", how="left").join(
        meters.select(pl.col("key").alias("meter_key"), "aggregation", "value_property"), on="meter_key", how="left"
    )
    rows = _with_amount(rows)
    age = pl.col("ingested_at") - pl.col("occurred_at")
    needs_value = pl.col("aggregation").is_in(VALUED)
    reason = (
        pl.when(pl.col("is_user").is_null()).then(pl.lit("unknown_user"))
        .when(pl.col("aggregation").is_null()).then(pl.lit("unknown_meter"))
        .when(age < -timedelta(minutes=config.future_minutes)).then(pl.lit("in_future"))
        .when(age > timedelta(days=config.late_days)).then(pl.lit("too_old"))
        .when((pl.col("aggregation") == "unique_count") & (pl.col("subject").fill_null("") == ""))
        .then(pl.lit("missing_subject"))
        .when(needs_value & pl.col("fault").is_not_null()).then(pl.col("fault"))
        .when(needs_value & ~pl.col("amount").is_between(-LIMIT, LIMIT)).then(pl.lit("out_of_range"))
        .when((pl.col("aggregation") == "sum") & (pl.col("amount") < 0)).then(pl.lit("negative"))
    )  # fmt: skip
    amount = pl.when(needs_value).then(pl.col("amount")).otherwise(pl.lit(1, pl.Int64))
    return rows.select(
        *KEY, "ingested_at", "user_id", "meter_key", "aggregation", "subject", "occurred_at",
        amount.alias("amount"), reason.alias("reason"),
    )  # fmt: skip


def _with_amount(rows: pl.DataFrame) -> pl.DataFrame:
    """Add ``amount`` and ``fault``: the column ``value``, or the property that the meter names."""
    in_column = pl.col("value_property").is_null()
    plain = rows.filter(in_column).with_columns(
        pl.col("value").alias("amount"),
        pl.when(pl.col("value").is_null()).then(pl.lit("missing_value")).alias("fault"),
    )
    named = [
        _from_property(part, str(name))
        for (name,), part in rows.filter(~in_column).partition_by(
            "value_property", as_dict=True, maintain_order=True
        ).items()
    ]  # fmt: skip
    return pl.concat([plain, *named])


def _from_property(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Integers by one native pass; whatever else stands there is looked at once per distinct text."""
    is_plain_name = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    text = pl.col("properties").str.json_path_match(f"$.{name}") if is_plain_name else pl.lit(None, pl.String)
    rows = rows.with_columns(
        pl.when(text.str.contains(r"^-?(0|[1-9][0-9]{0,15})$")).then(text).cast(pl.Int64).alias("amount")
    )
    odd = rows.filter(pl.col("amount").is_null())["properties"].unique().to_list()
    read = [read_property(text, name) for text in odd]
    table = pl.DataFrame(
        {"properties": odd, "odd_amount": [amount for amount, _ in read], "fault": [fault for _, fault in read]},
        schema={"properties": pl.String, "odd_amount": pl.Int64, "fault": pl.String},
    )
    return (
        rows.join(table, on="properties", how="left")
        .with_columns(
            pl.when(pl.col("amount").is_null()).then(pl.col("fault")).alias("fault"),
            pl.coalesce("amount", "odd_amount").alias("amount"),
        )
        .drop("odd_amount")
    )  # fmt: skip


class _Number(str):
    """A JSON number's own spelling."""

    __slots__ = ()


def read_property(properties: str, name: str) -> tuple[int | None, str | None]:
    """The integer in property ``name``, or the reason why there is none (rule 14)."""
    try:
        found = json.loads(properties, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    except ValueError:
        return None, "missing_value"
    value = found.get(name) if isinstance(found, dict) else None
    if value is None:
        return None, "missing_value"
    if not isinstance(value, str):
        return None, "unparseable"
    if _NOT_FINITE.fullmatch(value):
        return None, "not_finite"
    if not _INTEGER.fullmatch(value):
        return None, "unparseable"
    if len(value) > 17:
        return None, "out_of_range"
    return int(value), None
