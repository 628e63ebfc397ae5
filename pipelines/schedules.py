"""When the jobs run: hourly at minute 10, daily at 00:25 UTC for the same last key (08.2)."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from pipelines.jobs import refresh_daily, refresh_hourly
from pipelines.partitions import key_of


def request_of(
    partitions: dg.HourlyPartitionsDefinition, tick: datetime, now: datetime
) -> dg.RunRequest | dg.SkipReason:
    """The run a tick asks for: the last key at the tick, or a reason why that hour has passed."""
    key = key_of(partitions, tick)
    if key != (newest := key_of(partitions, now)):
        return dg.SkipReason(f"window {key} is no longer the last: the database shows {newest} now")
    return dg.RunRequest(run_key=key, partition_key=key)


def schedules(partitions: dg.HourlyPartitionsDefinition) -> list[dg.ScheduleDefinition]:
    """``refresh_hourly`` at minute 10 of every hour and ``refresh_daily`` at 00:25, both UTC."""

    @dg.schedule("10 * * * *", name="refresh_hourly_at_minute_10", job=refresh_hourly, execution_timezone="UTC")
    def every_hour(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return request_of(partitions, context.scheduled_execution_time, datetime.now(UTC))

    @dg.schedule("25 0 * * *", name="refresh_daily_at_0025", job=refresh_daily, execution_timezone="UTC")
    def every_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return request_of(partitions, context.scheduled_execution_time, datetime.now(UTC))

    return [every_hour, every_day]
