"""One run of the platform, in this process: snapshot → staged → products → published.

Lives here: choosing the partition, starting the Dagster job, and what a caller may want to know of
it afterwards. Does not belong here: printing (``pipelines.cli``), computing (``assets``).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterEvent, DagsterEventType

from assets.factory import SNAPSHOT_TAG
from assets.published.defs import ACCEPT_DRIFT_TAG
from assets.snapshot.defs import BELONGS_TO, TAKEN
from pipelines.definitions import build_defs
from pipelines.housekeeping import keep_house
from pipelines.instance import COMMAND_TAG, end_dead_runs, open_instance
from pipelines.jobs import HOURLY_GROUPS
from pipelines.partitions import key_of, partitions_of
from pipelines.run_lock import RunRefused, only_run
from store.generations import live
from store.home import read_home
from store.lake import Lake
from store.settings import Settings
from store.source import source_url
from store.worlds import remember, world_of

OURS = ("assets", "pipelines", "quality", "store")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Step:
    """What one step of the run did."""

    name: str
    seconds: float = 0.0
    is_reused: bool = False
    rows_in: int | None = None
    rows_out: int | None = None
    rejected: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class Refresh:
    """The outcome of a run."""

    run_id: str
    partition_key: str
    is_success: bool
    steps: list[Step]
    generation: str | None
    """The generation that it made live, or found live already."""
    error: str | None
    not_served: str | None = None
    """Why the generation that it computed is not live, naming it."""
    was_live: bool = False
    """Whether ``generation`` was live before: the run changed nothing that is served."""


Listener = Callable[[str, str], None]
"""Called with (step, "started" | "finished" | "failed" | "skipped") while the run goes on."""


def refresh(
    settings: Settings,
    *,
    as_of: datetime | None = None,
    accept_drift: bool = False,
    listener: Listener | None = None,
    now: datetime | None = None,
) -> Refresh:
    """Run everything once; the previous generation keeps serving unless a new one is published.

    Without ``as_of`` a snapshot is taken; with it, the newest stored one that is not younger is used.
    ``accept_drift`` publishes although row counts moved more than the drift gate allows. ``now`` is when the
    run begins: an hour that turns before its snapshot is taken makes it a run of the new one.
    Raises :class:`RunRefused` when there is no such snapshot or another run is going on.
    """
    lake = Lake(settings.home)
    if as_of is None:
        remember_world(settings)
    partitions = partitions_of(settings)
    tags = COMMAND_TAG | ({ACCEPT_DRIFT_TAG: "true"} if accept_drift else {})
    selection: list[dg.AssetKey] | None = None
    definitions = build_defs(settings)
    graph = definitions.resolve_asset_graph()
    without_snapshot = sorted(k for k in graph.materializable_asset_keys if graph.get(k).group_name != HOURLY_GROUPS[0])
    job = definitions.resolve_job_def("refresh_all")
    if as_of is not None:
        stored = next((m for i in reversed(lake.snapshot_ids()) if (m := lake.snapshot(i)).as_of <= as_of), None)
        if stored is None:
            raise RunRefused(
                f"no stored snapshot has as_of <= {as_of.isoformat()}; `flowforge run` without --as-of takes one"
            )
        key = key_of(partitions, stored.as_of)
        tags[SNAPSHOT_TAG] = stored.id
        selection = without_snapshot
    else:
        record = read_home(settings.home)
        key = key_of(partitions, record.as_of if record else now or datetime.now(UTC))
    with only_run(settings.home), open_instance(settings.home) as instance:
        end_dead_runs(instance)
        lake.sweep()
        before = live(settings.home)
        done, turned = _execute(job, instance, key, tags, selection, listener)
        if BELONGS_TO in turned:
            # Nobody asked for a partition: the key follows from the snapshot, and one that was taken is used.
            if TAKEN in turned:
                tags[SNAPSHOT_TAG], selection = turned[TAKEN], without_snapshot
            done, _ = _execute(job, instance, turned[BELONGS_TO], tags, selection, listener)
        done.was_live = done.generation is not None and done.generation == before
        if done.is_success:
            keep_house(settings, instance)
        return done


def remember_world(settings: Settings) -> None:
    """Keep beside the home which world its database holds: that decides ``as_of`` and the partitions."""
    if (world := world_of(source_url(settings, "reader"))) is not None:
        remember(settings.home, world)


def _execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    key: str,
    tags: dict[str, str],
    selection: list[dg.AssetKey] | None,
    listener: Listener | None,
) -> tuple[Refresh, dict[str, str]]:
    """The outcome, and which partition it should have been where the hour turned meanwhile."""
    run_id = str(uuid.uuid4())
    if listener is not None:
        instance.add_event_listener(run_id, lambda entry: _tell(listener, entry))
    result = job.execute_in_process(
        instance=instance,
        partition_key=key,
        tags=tags,
        asset_selection=selection,
        run_id=run_id,
        run_config=QUIET,
        raise_on_error=False,
    )
    return _outcome(result, run_id, key), _turned(result)


_SAID = {
    DagsterEventType.STEP_START: "started",
    DagsterEventType.STEP_SUCCESS: "finished",
    DagsterEventType.STEP_FAILURE: "failed",
    DagsterEventType.STEP_SKIPPED: "skipped",
}


def _tell(listener: Listener, entry: Any) -> None:
    event = entry.dagster_event
    if event is not None and event.step_key and (said := _SAID.get(event.event_type)):
        listener(event.step_key, said)


def _outcome(result: dg.ExecuteInProcessResult, run_id: str, key: str) -> Refresh:
    steps: dict[str, Step] = {}
    generation: str | None = None
    not_served: str | None = None
    errors: list[str] = []
    for event in result.all_events:
        name = event.step_key
        if name is None:
            continue
        step = steps.setdefault(name, Step(name))
        if event.event_type == DagsterEventType.STEP_FAILURE:
            errors.append(f"{name}: {_cause(event)}")
        elif event.event_type == DagsterEventType.STEP_SUCCESS:
            step.seconds = event.step_success_data.duration_ms / 1000
        elif event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
            materialization = event.step_materialization_data.materialization
            metadata: dict[str, Any] = {k: v.value for k, v in materialization.metadata.items()}
            _add(step, metadata)
            if metadata.get("is_live"):
                generation = metadata["generation"]
            elif "generation" in metadata:
                not_served = f"generation {metadata['generation']} is not live: {metadata['reason']}"
        elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if not evaluation.passed:
                step.problems.append(_problem(name, evaluation.asset_key.to_user_string(), evaluation.description))
    for step in steps.values():
        step.problems = list(dict.fromkeys(step.problems))
    return Refresh(run_id, key, result.success, list(steps.values()), generation, "; ".join(errors) or None, not_served)


def _turned(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What the snapshot's refusal of the run's partition says beside its message; empty without one."""
    failures = [e.step_failure_data.user_failure_data for e in result.all_events if e.is_step_failure]
    told = {key: str(value.value) for failure in failures if failure for key, value in failure.metadata.items()}
    return told if BELONGS_TO in told else {}


def _add(step: Step, metadata: dict[str, Any]) -> None:
    step.is_reused = bool(metadata.get("is_reused", False))
    step.rows_out = (step.rows_out or 0) + int(metadata.get("dagster/row_count") or 0)
    if "rows_read" in metadata:  # told once for the whole step; a staged table tells its own rows
        step.rows_in = int(metadata["rows_read"])
        step.rejected = int(metadata.get("rows_rejected") or 0)
    elif "rows_in" in metadata:
        step.rows_in = (step.rows_in or 0) + int(metadata["rows_in"])
        step.rejected += int(metadata["rows_rejected"])


def _problem(step: str, table: str, description: str | None) -> str:
    # A step that was not computed fails every table's check for one reason: it is told once.
    told = description or "its contract is broken"
    return f"{step}: {told}" if told.startswith("not computed") else f"{table}: {told}"


def _cause(event: DagsterEvent) -> str:
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return _readable(error.message.strip(), error.cls_name) if error is not None else "failed"


def _readable(message: str, cls_name: str | None) -> str:
    """``message`` without the path of its class; our own refusals are sentences and need no class at all."""
    path, colon, told = message.partition(": ")
    if not told or path.rpartition(".")[2] != cls_name:
        return message
    is_sentence = path.partition(".")[0] in OURS or path.endswith(".events.Failure")
    return told if is_sentence else f"{cls_name}{colon}{told}"
