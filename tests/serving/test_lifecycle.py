"""Publication, compare-and-set, rollback, pin and retention, on real files."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from store.failpoints import FailpointHit
from store.generations import (
    GenerationRefused,
    generations,
    pin,
    publish,
    rollback,
    unpin,
    verify,
)
from store.serving import Generations
from store.settings import RetentionSettings
from tests.support.serving import AS_OF, KEEP, datasets_of, plan_of, small_generation

HOUR = timedelta(hours=1)


def live(home: Path) -> str:
    return (home / "generations" / "CURRENT").read_text().strip()


def test_a_published_generation_is_served(tmp_path: Path) -> None:
    done = small_generation(tmp_path)
    reader = Generations(tmp_path)
    assert reader.current() is None
    assert reader.refresh()
    assert not reader.refresh()
    current = reader.current()
    assert current is not None
    assert (current.id, current.as_of) == (done.generation, AS_OF)
    assert done.is_live
    assert reader.status(done.generation) == "live"
    assert reader.published_at(done.generation) == AS_OF + timedelta(minutes=5)


def test_a_generation_that_stands_is_not_built_again(tmp_path: Path) -> None:
    first = small_generation(tmp_path)

    def never(_: str) -> dict[str, object]:
        raise AssertionError("built again")

    again = publish(tmp_path, plan_of(tmp_path), never, retention=KEEP, now=AS_OF + HOUR)  # type: ignore[arg-type]
    assert again.is_reused
    assert again.is_live
    assert again.generation == first.generation
    assert generations(tmp_path)[0].published_at == AS_OF + timedelta(minutes=5)


def test_a_corrupt_generation_that_stands_is_built_again(tmp_path: Path) -> None:
    first = small_generation(tmp_path)
    path = tmp_path / "generations" / first.generation / "users.arrow"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    again = small_generation(tmp_path)
    assert (again.generation, again.is_reused) == (first.generation, False)
    assert path.read_bytes() == good


def test_an_older_as_of_never_replaces_a_newer_one(tmp_path: Path) -> None:
    newer = small_generation(tmp_path)
    late = small_generation(tmp_path, AS_OF - HOUR)
    assert not late.is_live
    assert "older than the live generation" in late.reason
    assert live(tmp_path) == newer.generation


def test_the_same_as_of_with_another_fingerprint_may_replace_it(tmp_path: Path) -> None:
    first = small_generation(tmp_path)
    second = small_generation(tmp_path, salt="other")
    assert first.generation != second.generation
    assert live(tmp_path) == second.generation


def test_rollback_goes_to_the_previous_one_and_quarantines_the_one_left(tmp_path: Path) -> None:
    first, second = small_generation(tmp_path), small_generation(tmp_path, AS_OF + HOUR)
    reader = Generations(tmp_path)
    reader.refresh()
    assert rollback(tmp_path, reason="wrong counts") == first.generation
    assert reader.refresh()
    assert live(tmp_path) == first.generation
    assert [(e.info.id, e.status) for e in generations(tmp_path)] == [
        (second.generation, "quarantined"),
        (first.generation, "live"),
    ]
    assert [e.status for e in reader.entries()] == ["quarantined", "live"]
    assert reader.get(second.generation) is None
    with pytest.raises(GenerationRefused, match="no earlier"):
        rollback(tmp_path)


def test_a_quarantined_generation_is_not_published_again_but_the_next_good_run_is(tmp_path: Path) -> None:
    small_generation(tmp_path)
    small_generation(tmp_path, AS_OF + HOUR)
    back = rollback(tmp_path)
    again = small_generation(tmp_path, AS_OF + HOUR)
    assert not again.is_live
    assert again.reason.startswith("quarantined")
    assert live(tmp_path) == back
    assert small_generation(tmp_path, AS_OF + 2 * HOUR).is_live


def test_rollback_to_a_named_generation(tmp_path: Path) -> None:
    made = [small_generation(tmp_path, AS_OF + n * HOUR) for n in range(3)]
    assert rollback(tmp_path, made[0].generation) == made[0].generation
    with pytest.raises(GenerationRefused, match="is quarantined"):
        rollback(tmp_path, made[2].generation)
    with pytest.raises(GenerationRefused, match="live already"):
        rollback(tmp_path, made[0].generation)
    with pytest.raises(GenerationRefused, match="does not stand here"):
        rollback(tmp_path, "20200101T000000000000Z-000000000000")


def test_rollback_passes_over_a_corrupt_generation(tmp_path: Path) -> None:
    made = [small_generation(tmp_path, AS_OF + n * HOUR) for n in range(3)]
    (tmp_path / "generations" / made[1].generation / "feed.arrow").unlink()
    assert rollback(tmp_path) == made[0].generation


def test_a_pin_holds_until_it_is_lifted(tmp_path: Path) -> None:
    first = small_generation(tmp_path)
    assert pin(tmp_path) == first.generation
    held = small_generation(tmp_path, AS_OF + HOUR)
    assert not held.is_live
    assert "pinned" in held.reason
    assert generations(tmp_path)[1].status == "pinned"
    unpin(tmp_path)
    assert small_generation(tmp_path, AS_OF + HOUR).is_live
    with pytest.raises(GenerationRefused, match="only the live generation"):
        pin(tmp_path, first.generation)


def test_retention_keeps_the_newest_the_live_and_the_recent(tmp_path: Path) -> None:
    keep_two = RetentionSettings(generations=2, generation_hours=0)
    made = [small_generation(tmp_path, AS_OF + n * HOUR, retention=keep_two) for n in range(4)]
    assert [e.info.id for e in generations(tmp_path)] == [made[3].generation, made[2].generation]
    assert made[3].pruned == (made[1].generation,)
    recent = RetentionSettings(generations=1, generation_hours=6)
    small_generation(tmp_path, AS_OF + 5 * HOUR, retention=recent)
    assert len(generations(tmp_path)) == 3
    small_generation(tmp_path, AS_OF + 30 * HOUR, retention=recent)
    assert len(generations(tmp_path)) == 1


def test_a_reader_keeps_what_it_mapped_although_it_is_pruned(tmp_path: Path) -> None:
    keep_one = RetentionSettings(generations=1, generation_hours=0)
    first = small_generation(tmp_path, retention=keep_one)
    reader = Generations(tmp_path)
    reader.refresh()
    held = reader.current()
    assert held is not None
    small_generation(tmp_path, AS_OF + HOUR, retention=keep_one)
    assert not held.folder.exists()
    feed = held.dataset("feed")
    assert feed is not None
    assert feed.count(0) == 45
    reader.refresh()
    assert reader.get(first.generation) is None


def test_older_generations_are_kept_for_pinned_cursors(tmp_path: Path) -> None:
    first, second = small_generation(tmp_path), small_generation(tmp_path, AS_OF + HOUR)
    reader = Generations(tmp_path)
    reader.refresh()
    older = reader.get(first.generation)
    assert older is not None
    assert older.id == first.generation
    assert reader.get(first.generation) is older
    for text in ("../" + second.generation, "20200101T000000000000Z-000000000000", "..", "\0", "x" * 5000, ""):
        assert reader.get(text) is None
    assert reader.ids() == [second.generation, first.generation]


def test_a_failed_audit_keeps_the_live_one_and_sets_the_candidate_aside(tmp_path: Path) -> None:
    first = small_generation(tmp_path)
    seen = []

    def audit(candidate: object, before: object) -> list[str]:
        seen.append((getattr(candidate, "as_of", None), getattr(before, "as_of", None)))
        return ["feed fell by half"]

    with pytest.raises(GenerationRefused, match="feed fell by half"):
        small_generation(tmp_path, AS_OF + HOUR, audit=audit)
    assert seen == [(AS_OF + HOUR, AS_OF)]
    assert live(tmp_path) == first.generation
    assert generations(tmp_path)[0].status == "quarantined"
    accepted = small_generation(tmp_path, AS_OF + HOUR, audit=lambda candidate, before: [])
    assert accepted.is_reused
    assert accepted.is_live
    assert [e.status for e in generations(tmp_path)] == ["live", "retained"]


def test_rows_that_break_the_models_are_refused_before_they_are_served(tmp_path: Path) -> None:
    first = small_generation(tmp_path)

    def build(generation: str) -> dict[str, object]:
        rows = datasets_of(tmp_path, generation, AS_OF + HOUR)
        return {**rows, "feed": rows["friend_recommendations"]}

    with pytest.raises(GenerationRefused, match=r"feed\.arrow: payload of key"):
        publish(tmp_path, plan_of(tmp_path, AS_OF + HOUR), build, retention=KEEP)  # type: ignore[arg-type]
    assert live(tmp_path) == first.generation
    assert [e.info.id for e in generations(tmp_path)] == [first.generation]


def test_two_publications_at_once_leave_one_whole_newest_generation(tmp_path: Path) -> None:
    plans = [AS_OF + n * HOUR for n in range(3)]
    threads = [threading.Thread(target=small_generation, args=(tmp_path, as_of)) for as_of in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(tmp_path).as_of == plans[-1]
    assert not list((tmp_path / "generations").glob(".staging-*"))


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    done = small_generation(tmp_path)
    folder = tmp_path / "generations" / done.generation
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "feed.arrow").unlink()
    small_generation(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_a_quarantine_outlives_the_files_it_was_given_for(tmp_path: Path) -> None:
    keep_one = RetentionSettings(generations=1, generation_hours=0)
    small_generation(tmp_path)
    small_generation(tmp_path, AS_OF + HOUR)
    rollback(tmp_path)
    pruned = small_generation(tmp_path, AS_OF + HOUR, retention=keep_one, now=AS_OF + 3 * HOUR)
    assert pruned.pruned == (pruned.generation,)
    assert small_generation(tmp_path, AS_OF + HOUR).reason.startswith("quarantined")


def test_a_failure_while_building_changes_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = small_generation(tmp_path)
    monkeypatch.setenv("FLOWFORGE_ENV", "test")
    for place in ("publish.building", "publish.built"):
        monkeypatch.setenv("FLOWFORGE_FAILPOINT", f"{place}:raise")
        with pytest.raises(FailpointHit):
            small_generation(tmp_path, AS_OF + HOUR)
    assert live(tmp_path) == first.generation
    assert [p.name for p in (tmp_path / "generations").iterdir() if p.is_dir()] == [first.generation]
