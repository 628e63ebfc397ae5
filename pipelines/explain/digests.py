"""Why a digest came, or did not: every stream of one person, what became of it, and when it is due next.

The whole product runs for one person: their schedules, preferences, notifications and previous state, beside
everybody else's blocks, mutes and friendships. Its rows are those that the run settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from assets.digests.due import is_scheduled_on
from assets.digests.product import CROSSINGS, STATE, compute, digests
from assets.digests.streams import STREAM, present_users, streams
from assets.frame import Inputs, Result
from assets.local_time import date_exists, nominal_instant, wall_clock
from pipelines.explain.home import Home, Person
from pipelines.explain.told import Section, stages_of
from store.payloads import instant_text
from store.settings import DigestsSettings

OWNER = {
    "staged_digest_schedules": "user_id",
    "staged_notification_preferences": "user_id",
    "staged_notifications": "recipient_id",
}
"""Tables of which only the person's own rows matter."""
DAYS_AHEAD = 16
_DAYS = ("", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def of_one(inputs: Inputs[DigestsSettings], user_id: int) -> Inputs[DigestsSettings]:
    """The product's inputs as if nobody else had digests."""
    frames = dict(inputs.frames)
    frames |= {name: frames[name].filter(pl.col(column) == user_id) for name, column in OWNER.items()}
    previous = {name: inputs.previous[name].filter(pl.col("user_id") == user_id) for name in (*STATE, CROSSINGS)}
    return replace(inputs, frames=frames, previous=previous)


def next_due(stream: Mapping[str, Any], after: datetime) -> datetime | None:
    """The next due of a stream after ``after`` by its present schedule; None when none comes in 16 days."""
    zone = stream["zone"]
    first = wall_clock(zone, after).date()
    for ahead in range(DAYS_AHEAD):
        day = first + timedelta(days=ahead)
        if not is_scheduled_on(stream["kind"], stream["week_day"], day) or not date_exists(zone, day):
            continue
        due = nominal_instant(zone, day, stream["local_time"])
        if due > max(after, stream["enabled_at"], stream["paused_until"] or after):
            return due
    return None


def standing(inputs: Inputs[DigestsSettings], result: Result) -> pl.DataFrame:
    """Every stream of the person with its state after the run."""
    users = present_users(inputs.frames["staged_users"], inputs.frames["staged_erasure_requests"], inputs.as_of)
    state = result.tables["digest_streams"].lazy()
    schedules, preferences = (inputs.frames[f"staged_{t}"] for t in ("digest_schedules", "notification_preferences"))
    return streams(schedules, preferences, users, state).rows


def section(home: Home, person: Person) -> Section | None:
    """The person's digests, explained; None where the generation holds none."""
    tables = home.product(digests)
    if not tables:
        return None
    as_of = next(iter(tables.values())).manifest.as_of
    if person.state in ("not_active", "not_there_yet"):
        return Section("digests", instant_text(as_of), "building", "no digests: the account is not active", (), (), ())
    inputs = of_one(home.inputs(digests, home.settings.digests, tables), person.user_id)
    result = compute(inputs)
    stored = tables["digests"].scan().filter(pl.col("user_id") == person.user_id).collect()
    history = tables["digest_history"].scan().filter(pl.col("user_id") == person.user_id).collect()
    found = standing(inputs, result)
    rows = [_stream(row, result.tables["digests"], as_of) for row in found.iter_rows(named=True)]
    rows += [
        _digest(row) for row in history.sort("due_at", "digest_id", descending=[True, False]).iter_rows(named=True)
    ]
    notes = []
    if not rows:
        notes.append("no preference of theirs asks for a digest of a kind that they have a schedule for")
    if not result.tables["digests"].equals(stored.select(result.tables["digests"].columns)):
        notes.append("recomputed, these differ from the settled ones: settings or code changed since that run")
    state = "ready" if history.height else "empty"
    summary = f"{found.height} stream(s), {history.height} digest(s) built in the last 90 days"
    return Section("digests", instant_text(as_of), state, summary, tuple(rows), stages_of(result.counts), tuple(notes))


def _stream(row: Mapping[str, Any], settled: pl.DataFrame, as_of: datetime) -> dict[str, object]:
    mine = settled.filter(*(pl.col(name) == row[name] for name in STREAM)).sort("due_at")
    upcoming = next_due(row, as_of)
    became = [
        {
            "period_key": one["period_key"],
            "due_at": instant_text(one["due_at"]) if one["due_at"] else None,
            "status": one["status"],
            "reason": one["reason"],
            "eligible_count": one["eligible_count"],
        }
        for one in mine.iter_rows(named=True)
    ]
    return {
        "type": "stream",
        "kind": row["kind"],
        "channel": row["channel"],
        "sentence": _schedule(row),
        "settled": became,
        "why": _why(became, row, upcoming),
        "next_due_at": instant_text(upcoming) if upcoming else None,
    }


def _schedule(row: Mapping[str, Any]) -> str:
    when = {"daily": "every day", "weekdays": "Monday to Friday", "weekly": f"every {_DAYS[row['week_day']]}"}
    zone = row["time_zone"] if row["zone"] == row["time_zone"] else f"UTC ({row['time_zone']} is not known)"
    return f"{row['channel']}, {when[row['kind']]} at {row['local_time']:%H:%M} {zone}"


def _why(became: list[dict[str, object]], row: Mapping[str, Any], upcoming: datetime | None) -> str:
    if became:
        last = became[-1]
        told = f"{last['period_key']}: {last['reason']}"
        if last["status"] == "built":
            told += f", {last['eligible_count']} notification(s)"
    elif row["last_settled_due_at"] is not None:
        told = f"nothing due in this run; settled up to {row['last_settled_due_at']:%Y-%m-%d %H:%M} UTC"
    else:
        told = "nothing due yet"
    return f"{told}; next due {upcoming:%Y-%m-%d %H:%M} UTC" if upcoming else f"{told}; no next due: paused"


def _digest(row: Mapping[str, Any]) -> dict[str, object]:
    return {
        "type": "digest",
        "digest_id": row["digest_id"],
        "kind": row["kind"],
        "channel": row["channel"],
        "period_key": row["period_key"],
        "due_at": instant_text(row["due_at"]),
        "sentence": row["subject"],
        "why": f"{row['eligible_count']} notification(s) in {row['group_count']} group(s), {row['late_count']} late",
    }
