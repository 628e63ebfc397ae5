"""Housekeeping as a Dagster job of its own, daily, for homes whose runs the daemon launches (08.2).

``flowforge run`` keeps house after every run that succeeds; the daemon's runs do not. The job takes the
home's run lock, and does nothing, saying why, while a run holds it: tomorrow is soon enough.
(No ``from __future__ import annotations`` here: Dagster reads the annotation of ``context``.)
"""

import dagster as dg

from pipelines.housekeeping import keep_house
from pipelines.run_lock import RunRefused, only_run


@dg.op(required_resource_keys={"settings"})
def keep(context: dg.OpExecutionContext) -> None:
    """Remove what retention does not keep and people whose erasure is due, unless a run is going on."""
    settings = context.resources.settings
    try:
        with only_run(settings.home):
            done = keep_house(settings, context.instance)
    except RunRefused as refused:
        context.log.warning("skipped: %s", refused)
        context.add_output_metadata({"skipped": str(refused)})
        return
    context.add_output_metadata({"removed": len(done.removed), "runs": done.runs, "erased": len(done.erased)})


@dg.job(tags={"dagster/max_runtime": str(50 * 60)}, executor_def=dg.in_process_executor)
def housekeeping() -> None:
    """Retention of snapshots, products, rejects and runs; erasures that are due."""
    keep()


housekeeping_daily = dg.ScheduleDefinition(
    name="housekeeping_daily_at_0340", job=housekeeping, cron_schedule="40 3 * * *", execution_timezone="UTC"
)
