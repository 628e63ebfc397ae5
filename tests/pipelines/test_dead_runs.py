"""A command killed in the middle of a step leaves nothing behind that a later run waits for (law 4)."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from pipelines.instance import COMMAND_TAG, end_dead_runs, open_instance


@dg.op(pool="oltp")
def read_the_source() -> None:
    """A step of the pool that admits one at a time."""


@dg.job
def reading() -> None:
    read_the_source()


def left_holding_the_slot(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    """A run as kill -9 leaves it: started, with the pool's only slot."""
    run = instance.create_run_for_job(reading, tags=tags, status=DagsterRunStatus.STARTED)
    instance.event_log_storage.initialize_concurrency_limit_to_default("oltp")
    assert instance.event_log_storage.claim_concurrency_slot("oltp", run.run_id, "read_the_source").is_claimed
    return run


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))  # put back what open_instance sets
    with open_instance(tmp_path) as opened:
        yield opened


def test_the_slot_of_a_killed_command_is_free_for_the_next_run(instance):
    dead = left_holding_the_slot(instance, COMMAND_TAG)
    assert instance.event_log_storage.get_concurrency_info("oltp").active_run_ids == {dead.run_id}
    assert end_dead_runs(instance) == [dead.run_id]
    assert instance.get_run_by_id(dead.run_id).status == DagsterRunStatus.FAILURE
    assert instance.event_log_storage.get_concurrency_info("oltp").active_run_ids == set()
    assert reading.execute_in_process(instance=instance).success


def test_a_run_that_no_command_computes_is_not_ended(instance):
    scheduled = left_holding_the_slot(instance, {})
    assert end_dead_runs(instance) == []
    assert instance.get_run_by_id(scheduled.run_id).status == DagsterRunStatus.STARTED
