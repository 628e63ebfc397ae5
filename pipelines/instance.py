"""The Dagster instance of a home: ``HOME/dagster`` with a ``dagster.yaml`` of absolute paths.

The repository's ``dagster.yaml`` is the same file for the default home; any other home gets its
own here, so that several homes run side by side.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus

from store.files import write_bytes_atomically

COMMAND_TAG = {"flowforge/launched-by": "command"}
"""On every run that computes in the process of a `flowforge` command, under the home's run lock."""
UNFINISHED = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]

TEMPLATE = """\
# Written by `flowforge`; the same settings as the repository's dagster.yaml, for this home.
storage:
  sqlite:
    base_dir: {base}/storage
local_artifact_storage:
  module: dagster._core.storage.root
  class: LocalArtifactStorage
  config:
    base_dir: {base}
compute_logs:
  module: dagster._core.storage.local_compute_log_manager
  class: LocalComputeLogManager
  config:
    base_dir: {base}/compute_logs
concurrency:
  runs:
    max_concurrent_runs: 10
    tag_concurrency_limits:
      - key: flowforge/lane
        value: refresh
        limit: 1
  pools:
    default_limit: 1
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 300
telemetry:
  enabled: false
nux:
  enabled: false
"""


def prepare_instance(home: Path) -> Path:
    """Write ``HOME/dagster/dagster.yaml`` and point ``DAGSTER_HOME`` of this process and its children at it."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = TEMPLATE.format(base=folder).encode()
    path = folder / "dagster.yaml"
    if not path.is_file() or path.read_bytes() != wanted:
        write_bytes_atomically(path, wanted)
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder


def open_instance(home: Path) -> dg.DagsterInstance:
    """The home's instance; close it with ``with``."""
    return dg.DagsterInstance.from_config(str(prepare_instance(home)))


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs whose command was killed as failed and free the pool slots they hold; their ids.

    Only for the holder of the home's run lock: an unfinished run of another command is then a dead one.
    A step that waits for the slot of a dead run would wait for ever.
    """
    dead = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags=COMMAND_TAG))
    for run in dead:
        instance.report_run_failed(run, "The command that computed this run was killed.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]
