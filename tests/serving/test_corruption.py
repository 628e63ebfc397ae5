"""One flipped byte anywhere, a torn file, a pointer to nothing: refused by name, and the last good one serves."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from pathlib import Path

import pytest

from store.generations import generations, verify
from store.serving import CorruptGeneration, Generation, Generations
from tests.support.serving import AS_OF, small_generation

HOUR = timedelta(hours=1)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << (at % 8)
    path.write_bytes(bytes(content))


@pytest.fixture(scope="module")
def generation_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    return home / "generations" / small_generation(home).generation


def test_any_flipped_byte_of_any_file_is_refused_by_name(generation_folder: Path) -> None:
    chance = random.Random(7)
    paths = sorted(generation_folder.iterdir())
    assert len(paths) == 13
    for path in paths:
        good = path.read_bytes()
        for at in {0, len(good) - 1, *(chance.randrange(len(good)) for _ in range(12))}:
            flip(path, at)
            with pytest.raises(CorruptGeneration, match=str(path)):
                Generation.open(generation_folder)
            path.write_bytes(good)
    assert Generation.open(generation_folder).id == generation_folder.name


def test_bytes_all_over_the_manifest_count(generation_folder: Path) -> None:
    path = generation_folder / "_manifest.json"
    good = path.read_bytes()
    for at in range(0, len(good), 7):
        flip(path, at)
        with pytest.raises(CorruptGeneration, match=r"_manifest\.json"):
            Generation.open(generation_folder)
    path.write_bytes(good)


@pytest.mark.parametrize("name", ["feed.arrow", "_manifest.json"])
def test_a_torn_or_missing_file_is_refused_by_name(generation_folder: Path, name: str) -> None:
    path = generation_folder / name
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(CorruptGeneration, match=name):
        Generation.open(generation_folder)
    path.unlink()
    with pytest.raises(CorruptGeneration, match=name):
        Generation.open(generation_folder)
    path.write_bytes(good)


def test_a_manifest_of_another_generation_is_refused(generation_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "20200101T000000000000Z-000000000000"
    other.mkdir()
    for path in generation_folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CorruptGeneration, match="is the manifest of"):
        Generation.open(other)


def test_a_reader_refuses_a_corrupt_new_generation_and_keeps_the_old(tmp_path: Path) -> None:
    first = small_generation(tmp_path)
    reader = Generations(tmp_path)
    reader.refresh()
    second = small_generation(tmp_path, AS_OF + HOUR)
    path = tmp_path / "generations" / second.generation / "digests.arrow"
    flip(path, 1000)
    assert not reader.refresh()
    current = reader.current()
    assert current is not None
    assert current.id == first.generation
    assert reader.last_error is not None
    assert str(path) in reader.last_error
    assert not reader.refresh()
    flip(path, 1000)
    assert reader.refresh()
    assert reader.last_error is None


def test_a_new_reader_falls_back_to_the_newest_good_generation(tmp_path: Path) -> None:
    made = [small_generation(tmp_path, AS_OF + n * HOUR) for n in range(3)]
    for done in made[1:]:
        flip(tmp_path / "generations" / done.generation / "users.arrow", 500)
    reader = Generations(tmp_path)
    assert reader.refresh()
    current = reader.current()
    assert current is not None
    assert current.id == made[0].generation
    assert reader.last_error is not None
    assert made[2].generation in reader.last_error
    assert reader.get(made[1].generation) is None


def test_a_byte_flipped_under_a_serving_reader_is_noticed(tmp_path: Path) -> None:
    first, second = small_generation(tmp_path), small_generation(tmp_path, AS_OF + HOUR)
    reader = Generations(tmp_path)
    reader.refresh()
    path = tmp_path / "generations" / second.generation / "feed.arrow"
    flip(path, 2000)
    assert reader.refresh()
    current = reader.current()
    assert current is not None
    assert current.id == first.generation
    assert reader.last_error is not None
    assert "feed.arrow" in reader.last_error


def test_a_copy_with_other_times_is_verified_and_served_on(tmp_path: Path) -> None:
    done = small_generation(tmp_path)
    reader = Generations(tmp_path)
    reader.refresh()
    os.utime(tmp_path / "generations" / done.generation / "feed.arrow", (1, 1))
    assert not reader.refresh()
    current = reader.current()
    assert current is not None
    assert current.id == done.generation
    assert reader.last_error is None


@pytest.mark.parametrize("content", ["20300101T000000000000Z-000000000000\n", "../elsewhere\n", "\x00"])
def test_a_pointer_to_nothing_keeps_the_last_good_one(tmp_path: Path, content: str) -> None:
    done = small_generation(tmp_path)
    reader = Generations(tmp_path)
    reader.refresh()
    (tmp_path / "generations" / "CURRENT").write_text(content)
    assert not reader.refresh()
    current = reader.current()
    assert current is not None
    assert current.id == done.generation
    assert reader.last_error is not None
    assert "CURRENT" in reader.last_error


def test_an_unreadable_standing_is_named_and_changes_nothing(tmp_path: Path) -> None:
    done = small_generation(tmp_path)
    reader = Generations(tmp_path)
    reader.refresh()
    (tmp_path / "generations" / "_standing.json").write_text("{")
    assert not reader.refresh()
    current = reader.current()
    assert current is not None
    assert current.id == done.generation
    assert reader.last_error is not None
    assert "_standing.json" in reader.last_error
    with pytest.raises(CorruptGeneration, match=r"_standing\.json"):
        generations(tmp_path)


def test_verify_names_the_corrupt_file_of_the_live_generation(tmp_path: Path) -> None:
    done = small_generation(tmp_path)
    assert verify(tmp_path).id == done.generation
    flip(tmp_path / "generations" / done.generation / "usage.arrow", 800)
    with pytest.raises(CorruptGeneration, match=r"usage\.arrow"):
        verify(tmp_path)


def test_nothing_published_is_nothing_served(tmp_path: Path) -> None:
    reader = Generations(tmp_path)
    assert not reader.refresh()
    assert reader.current() is None
    assert reader.last_error is None
    assert reader.entries() == []
    with pytest.raises(CorruptGeneration, match="nothing was published"):
        verify(tmp_path)
