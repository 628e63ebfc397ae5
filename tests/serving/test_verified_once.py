"""Verified once per host: readers map what was verified there, and trust nothing that came another way."""

from __future__ import annotations

import multiprocessing
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from store.generations import verify
from store.serving import CorruptGeneration, Generation, Generations
from store.serving.generation import is_marked, mark_path
from tests.support.serving import AS_OF, KEEP, small_generation

HOUR = timedelta(hours=1)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def served(home: Path) -> str | None:
    reader = Generations(home)
    reader.refresh()
    current = reader.current()
    return current.id if current else None


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that are read from end to end from here on."""
    opened: list[Path] = []
    whole = Generation.open
    monkeypatch.setattr(Generation, "open", lambda folder: opened.append(folder) or whole(folder))
    return opened


def test_a_published_generation_is_mapped_without_reading_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = small_generation(tmp_path)
    opened = counted(monkeypatch)
    assert served(tmp_path) == done.generation
    assert opened == []


def test_a_copy_on_another_host_is_verified_there_once_and_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    done = small_generation(here)
    shutil.copytree(here / "generations", there / "generations")
    folder = there / "generations" / done.generation
    assert mark_path(folder).exists()
    assert not is_marked(folder)
    opened = counted(monkeypatch)
    assert [served(there), served(there)] == [done.generation] * 2
    assert opened == [folder]


def test_a_corrupt_copy_is_refused_although_the_original_was_verified(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    done = small_generation(here)
    shutil.copytree(here / "generations", there / "generations")
    flip(there / "generations" / done.generation / "feed.arrow", 900)
    assert served(there) is None
    with pytest.raises(CorruptGeneration, match=r"feed\.arrow"):
        verify(there)
    assert served(here) == done.generation


def test_verify_reads_everything_although_the_mark_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = small_generation(tmp_path)
    opened = counted(monkeypatch)
    verify(tmp_path)
    assert opened == [tmp_path / "generations" / done.generation]


@pytest.mark.parametrize("content", ["", "()", "(('feed.arrow', 1, 2, 3, 4, 5),)"])
def test_a_mark_of_other_files_is_worth_nothing(tmp_path: Path, content: str) -> None:
    done = small_generation(tmp_path)
    folder = tmp_path / "generations" / done.generation
    mark_path(folder).write_text(content)
    assert not is_marked(folder)
    assert served(tmp_path) == done.generation
    assert is_marked(folder)


def test_a_mark_that_cannot_be_written_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = small_generation(tmp_path)
    folder = tmp_path / "generations" / done.generation
    mark_path(folder).unlink()
    mark_path(folder).mkdir()
    opened = counted(monkeypatch)
    assert served(tmp_path) == done.generation
    assert opened == [folder]


def test_a_mark_goes_with_its_generation(tmp_path: Path) -> None:
    first = small_generation(tmp_path)
    keep_one = KEEP.model_copy(update={"generations": 1})
    small_generation(tmp_path, AS_OF + HOUR, retention=keep_one)
    assert not mark_path(tmp_path / "generations" / first.generation).exists()


def test_many_processes_that_open_an_unverified_generation_at_once_all_serve_it(tmp_path: Path) -> None:
    done = small_generation(tmp_path)
    mark_path(tmp_path / "generations" / done.generation).unlink()
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(served, [tmp_path] * 6) == [done.generation] * 6
    assert is_marked(tmp_path / "generations" / done.generation)
