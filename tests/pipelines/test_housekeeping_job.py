"""Retention for homes whose runs the daemon launches: a daily job, under the run lock (07.1, 08.2)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.definitions import build_defs
from pipelines.instance import COMMAND_TAG, open_instance
from pipelines.run_lock import RunRefused, locked_lake, only_run
from store.lake import Lake
from store.manifest import snapshot_id_of
from store.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return tmp_path


def old_rejects(home: Path) -> Path:
    """Rejects of 40 days ago: older than RETENTION__REJECT_DAYS."""
    folder = Lake(home).rejects_dir / snapshot_id_of(datetime.now(UTC) - timedelta(days=40))
    folder.mkdir(parents=True)
    return folder


def keep_house(home: Path) -> dict[str, Any]:
    """Run the job in this process; the metadata of its step."""
    job = build_defs(Settings(home=home)).resolve_job_def("housekeeping")
    with open_instance(home) as instance:
        done = job.execute_in_process(instance=instance)
    assert done.success
    (output,) = [e.step_output_data for e in done.all_events if e.event_type == dg.DagsterEventType.STEP_OUTPUT]
    return {name: value.value for name, value in output.metadata.items()}


def test_the_job_removes_what_retention_does_not_keep(home: Path) -> None:
    folder = old_rejects(home)
    assert keep_house(home) == {"removed": 1, "runs": 0, "erased": 0}
    assert not folder.exists()


def test_the_job_skips_with_a_reason_while_another_run_holds_the_lock(home: Path) -> None:
    folder = old_rejects(home)
    with only_run(home):
        assert "another run is computing" in keep_house(home)["skipped"]
    assert folder.exists()
    assert keep_house(home)["removed"] == 1


def test_the_job_is_scheduled_daily(home: Path) -> None:
    schedule = build_defs(Settings(home=home)).resolve_schedule_def("housekeeping_daily_at_0340")
    assert (schedule.cron_schedule, schedule.job_name) == ("40 3 * * *", "housekeeping")


def _probe(home: Path, seen: list[bool]) -> dg.JobDefinition:
    @dg.op(required_resource_keys={"lake"})
    def is_locked() -> None:
        try:
            with only_run(home):
                seen.append(False)
        except RunRefused:
            seen.append(True)

    @dg.job(resource_defs={"lake": locked_lake(home)}, executor_def=dg.in_process_executor)
    def probe() -> None:
        is_locked()

    return probe


def test_a_run_of_the_daemon_holds_the_run_lock_until_it_ends(home: Path) -> None:
    seen: list[bool] = []
    with open_instance(home) as instance:
        assert _probe(home, seen).execute_in_process(instance=instance).success
    assert seen == [True]
    with only_run(home):
        pass


def test_a_run_of_a_command_lives_under_its_commands_lock(home: Path) -> None:
    seen: list[bool] = []
    with only_run(home), open_instance(home) as instance:
        assert _probe(home, seen).execute_in_process(instance=instance, tags=COMMAND_TAG).success
    assert seen == [True]


def test_a_run_of_the_daemon_beside_a_command_is_refused_by_name(home: Path) -> None:
    with only_run(home), open_instance(home) as instance:
        done = _probe(home, []).execute_in_process(instance=instance, raise_on_error=False)
    assert not done.success
    assert any("another run is computing" in json.dumps(str(event)) for event in done.all_events)
