"""Why somebody may use a feature as much as they may: the plan, what was added to it, what was used and counted.

The rows are the stored ones; usage events go through the product's own intake again, for one person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from assets.frame import Inputs, StageCount
from assets.premium.intake import KEY, take_in, visible
from assets.premium.product import premium
from pipelines.explain.home import Home, Person
from pipelines.explain.told import Section, stages_of
from store.payloads import instant_text
from store.payloads.words import entitlement_line
from store.settings import PremiumSettings

_PARTS = ("limit_value", "rolled_over")


def intake_of(inputs: Inputs[PremiumSettings], user_id: int) -> StageCount:
    """What became of every usage event of one person.

    An event's key may have been used before by somebody else's: those rows are looked at too, not counted.
    """
    everything = inputs.frames["staged_usage_events"]
    mine = everything.filter(pl.col("user_id") == user_id)
    keys = mine.select(KEY).unique()
    beside = visible(everything, "ingested_at", inputs.as_of).join(keys, on=KEY, how="semi").collect()
    users, meters = (inputs.frames[name].collect() for name in ("staged_users", "staged_meters"))
    intake = take_in(beside, users, meters, inputs.config)
    seen = beside.filter(pl.col("user_id") == user_id)
    total = int(mine.select(pl.len()).collect().item())
    counted = intake.counted.filter(pl.col("user_id") == user_id).height
    held = intake.quarantine.filter(pl.col("user_id") == user_id).group_by("reason").len().sort("reason")
    conflicts = seen.join(intake.conflicts, on=[*KEY, "ingested_at"], how="semi").height
    why = {**dict(held.iter_rows()), "conflict": conflicts, "not_ingested_yet": total - seen.height}
    return StageCount("usage", total, counted, filtered={**why, "duplicate": total - counted - sum(why.values())})


def section(home: Home, person: Person) -> Section | None:
    """The person's entitlements, explained; None where the generation holds none."""
    tables = home.product(premium)
    if not tables:
        return None
    as_of = next(iter(tables.values())).manifest.as_of
    if person.state in ("not_active", "not_there_yet") or person.created_at >= as_of:
        return Section("entitlements", instant_text(as_of), "building", "nothing is computed", (), (), ())
    stored = tables["entitlements"].scan().filter(pl.col("user_id") == person.user_id).sort("feature_key").collect()
    plans = dict(home.staged("staged_plans").select("id", "name").collect().iter_rows())
    rows = tuple(row_of(row, plans) for row in stored.iter_rows(named=True))
    intake = intake_of(home.inputs(premium, home.settings.premium, tables), person.user_id)
    notes = (f"carried over from {instant_text(as_of)}",) if as_of != home.info.as_of else ()
    held = ", ".join(sorted({str(row["plan"]) for row in rows}))
    summary = f"{len(rows)} feature(s) of {held}" if rows else "no plan has features for them"
    state = "ready" if rows else "empty"
    return Section("entitlements", instant_text(as_of), state, summary, rows, stages_of([intake]), notes)


def row_of(row: Mapping[str, Any], plans: Mapping[int, str]) -> dict[str, object]:
    """One entitlement in words, with what adds up to ``granted``."""
    plan = plans.get(row["plan_id"], "an unknown plan")
    limited = row["kind"] == "metered" and row["limit_value"] is not None
    grants = row["granted"] - row["limit_value"] - row["rolled_over"] if limited else None
    return {
        "feature_key": row["feature_key"],
        "plan": plan,
        "sentence": entitlement_line({**row, "limit": row["limit_value"]}),
        "why": _why(row, plan, grants),
        "has_access": row["has_access"],
        "parts": {**{name: row[name] for name in _PARTS}, "grants": grants} if limited else {},
        "granted": row["granted"],
        "used": row["used"],
        "balance": row["balance"],
        "overage": row["overage"],
    }


def _why(row: Mapping[str, Any], plan: str, grants: int | None) -> str:
    if row["kind"] != "metered":
        return f"{'in' if row['has_access'] else 'not in'} {plan}"
    since = f"counted since {row['period_start']:%Y-%m-%d %H:%M} UTC"
    until = f", anew from {row['resets_at']:%Y-%m-%d %H:%M} UTC" if row["resets_at"] else ""
    if grants is None:
        return f"no limit in {plan}; {since}{until}"
    added = "".join(
        f" + {n:,} {what}" for n, what in ((row["rolled_over"], "rolled over"), (grants, "granted besides")) if n
    )
    access = "" if row["has_access"] else "; used up, and the plan stops there"
    total = f"{added} = {row['granted']:,}" if added else ""
    return f"{plan} gives {row['limit_value']:,}{total}; {since}{until}{access}"
