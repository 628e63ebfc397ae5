"""The drift gate stops a population that collapses, and never an installation that is young or quiet (07.1)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from store.generations import GenerationRefused, Publication, row_drift
from store.serving import Generation
from store.settings import QualitySettings
from tests.support.serving import AS_OF, built_digest, sample_frames, small_generation, table, user

HOUR = timedelta(hours=1)
GATE = QualitySettings()


def world(people: int, *, buried: Iterable[int] = (), written_to: Iterable[int] = (), **columns: Any) -> dict[str, Any]:
    """Frames of so many people; ``buried``: whose feeds lost an item, ``written_to``: who got a digest."""
    frames = {
        **sample_frames(),
        "staged_users": table("staged_users", [user(n, **columns) for n in range(1, people + 1)]),
    }
    gone = {"mode": "ranked", "item_id": f"{1:016x}", "reason": "displaced"}
    frames["feed_tombstones"] = table("feed_tombstones", [{"viewer_id": n, **gone} for n in buried])
    digests = [built_digest(1, n, digest_id=f"{n:016x}" + "0" * 48) for n in written_to]
    frames["digest_history"] = table("digest_history", digests)
    return frames


def publish_in_turn(home: Path, *worlds: dict[str, Any]) -> list[Publication]:
    """Publish one world after the other, an hour apart, through the gate."""
    audit = partial(row_drift, settings=GATE)
    return [small_generation(home, AS_OF + n * HOUR, frames=frames, audit=audit) for n, frames in enumerate(worlds)]


def drift(home: Path, before: int, after: int, settings: QualitySettings = GATE) -> list[str]:
    """What the gate says of a population that went from ``before`` to ``after``."""
    made = [small_generation(home, AS_OF + n * HOUR, frames=world(rows)) for n, rows in enumerate((before, after))]
    new, old = (Generation.open(home / "generations" / done.generation) for done in reversed(made))
    return row_drift(new, old, settings)


def test_tombstones_that_come_by_the_hundred_and_go_again_are_published(tmp_path: Path) -> None:
    done = publish_in_turn(
        tmp_path, world(300), world(300, buried=range(1, 251)), world(300, buried=range(1, 11)), world(300)
    )
    assert [publication.is_live for publication in done] == [True] * 4


def test_the_first_digests_of_a_young_installation_are_published(tmp_path: Path) -> None:
    done = publish_in_turn(tmp_path, world(300), world(300, written_to=range(1, 251)))
    assert done[-1].is_live


def test_everybody_coming_back_at_once_is_published_and_everybody_falling_quiet_at_once_is_not(tmp_path: Path) -> None:
    long_ago = {"last_seen_at": AS_OF - timedelta(days=90)}
    done = publish_in_turn(tmp_path, world(300, **long_ago), world(300))
    assert [publication.is_live for publication in done] == [True] * 2
    with pytest.raises(GenerationRefused, match="dataset feed went from 300 to 0 rows"):
        publish_in_turn(tmp_path / "other", world(300), world(300, **long_ago))


def test_a_platform_that_begins_with_nobody_grows_without_being_asked(tmp_path: Path) -> None:
    done = publish_in_turn(tmp_path, *(world(people) for people in (0, 3, 120, 400, 900)))
    assert [publication.is_live for publication in done] == [True] * 5


@pytest.mark.parametrize(("before", "after", "is_drift"), [(200, 99, True), (200, 100, False), (200, 301, False),
                                                          (6, 60, False), (60, 6, False)])  # fmt: skip
def test_a_population_may_not_fall_further_than_allowed(
    tmp_path: Path, before: int, after: int, is_drift: bool
) -> None:
    failures = drift(tmp_path, before, after)
    assert any(f"dataset users went from {before} to {after} rows" in failure for failure in failures) == is_drift


@pytest.mark.parametrize(("after", "is_drift"), [(300, False), (301, True)])
def test_a_population_that_is_not_small_any_more_may_not_grow_further_than_allowed(
    tmp_path: Path, after: int, is_drift: bool
) -> None:
    assert bool(drift(tmp_path, 200, after, QualitySettings(drift_growth_rows=200))) == is_drift


def test_a_refusal_says_how_to_publish_all_the_same_and_what_bounds_it(tmp_path: Path) -> None:
    with pytest.raises(GenerationRefused) as refused:
        publish_in_turn(tmp_path, world(300), world(20))
    assert "dataset users went from 300 to 20 rows" in str(refused.value)
    for named in ("flowforge run --accept-drift", "FLOWFORGE_QUALITY__DRIFT_ROWS_PERCENT (50)",
                  "FLOWFORGE_QUALITY__DRIFT_GROWTH_ROWS (1000)"):  # fmt: skip
        assert named in str(refused.value)


def test_feeds_that_vanished_are_drift_and_a_first_generation_has_none(tmp_path: Path) -> None:
    frames = sample_frames()
    before = Generation.open(tmp_path / "generations" / small_generation(tmp_path).generation)
    del frames["feed_items"]
    done = small_generation(tmp_path, AS_OF + HOUR, frames=frames)
    after = Generation.open(tmp_path / "generations" / done.generation)
    assert "dataset feed is gone; the live generation has 5 rows" in row_drift(after, before, GATE)
    assert row_drift(after, None, GATE) == []


def test_feeds_go_on_when_premium_failed_for_longer_than_it_may_be_carried(tmp_path: Path) -> None:
    without = sample_frames()
    del without["entitlements"], without["usage_daily"]
    done = publish_in_turn(tmp_path, sample_frames(), without)
    assert done[-1].is_live
