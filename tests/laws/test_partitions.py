"""The arithmetic between an instant and its partition key (08.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.partitions import hourly, key_of
from pipelines.schedules import request_of

PARTITIONS = hourly(datetime(2026, 1, 1, tzinfo=UTC))
INSTANTS = st.datetimes(datetime(2026, 1, 1, 2), datetime(2027, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("as_of", "key"),
    [
        ("2026-06-15T09:30:00+00:00", "2026-06-15-08:10"),
        ("2026-06-15T09:10:00+00:00", "2026-06-15-08:10"),
        ("2026-06-15T09:09:59.999999+00:00", "2026-06-15-07:10"),
        ("2026-06-15T11:30:00+02:00", "2026-06-15-08:10"),
    ],
)
def test_the_key_is_the_last_window_that_ended_at_or_before_as_of(as_of, key):
    assert key_of(PARTITIONS, datetime.fromisoformat(as_of)) == key


@given(INSTANTS)
def test_every_instant_lies_in_the_hour_after_its_window(as_of):
    window = PARTITIONS.time_window_for_partition_key(key_of(PARTITIONS, as_of))
    assert window.end <= as_of < window.end + timedelta(hours=1)


def test_an_instant_before_the_first_window_is_refused():
    with pytest.raises(ValueError, match="SCHEDULE__START"):
        key_of(PARTITIONS, datetime(2025, 12, 31, tzinfo=UTC))


def test_a_tick_asks_for_the_last_window():
    tick = datetime(2026, 6, 15, 9, 10, tzinfo=UTC)
    request = request_of(PARTITIONS, tick, tick + timedelta(seconds=30))
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2026-06-15-08:10"


def test_a_tick_whose_window_is_no_longer_the_last_is_skipped_with_a_reason():
    tick = datetime(2026, 6, 15, 9, 10, tzinfo=UTC)
    skip = request_of(PARTITIONS, tick, tick + timedelta(hours=3))
    assert isinstance(skip, dg.SkipReason)
    assert "2026-06-15-08:10" in skip.skip_message
