"""SIGKILL at every step of publication, pruning and rollback: what was served stays served, a rerun heals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE

import pytest

from store.failpoints import FAILPOINTS
from store.generations import GenerationRefused, generations, rollback, verify
from store.serving import Generations
from store.settings import RetentionSettings
from tests.support.serving import AS_OF, small_generation

HOUR = timedelta(hours=1)
ROOT = Path(__file__).resolve().parents[2]
KEEP_ONE = RetentionSettings(generations=1, generation_hours=0)
BEFORE_SWAP = ("publish.building", "publish.built", "publish.renamed", "publish.verified", "publish.audited",
               "publish.recorded")  # fmt: skip
AFTER_SWAP = ("publish.swapped", "prune.removing")
FORKING = """
import os, sys
from pathlib import Path
from datetime import timedelta
from store.generations import rollback
from store.settings import RetentionSettings
from tests.support.serving import AS_OF, small_generation
for line in sys.stdin:
    action, name, home = line.split()
    child = os.fork()
    if child == 0:
        os.environ.update(FLOWFORGE_ENV="test", FLOWFORGE_FAILPOINT=f"{name}:kill")
        if action == "publish":
            keep_one = RetentionSettings(generations=1, generation_hours=0)
            small_generation(Path(home), AS_OF + timedelta(hours=1), retention=keep_one)
        else:
            rollback(Path(home))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Imports once, then forks a child for every line: the children compute, the parent never does."""

KilledAt = Callable[[str, str, Path], None]


@pytest.fixture(scope="module")
def killed_at() -> Iterator[KilledAt]:
    """Run ``publish`` or ``rollback`` in a process of its own that dies at the named failpoint."""
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", FORKING], cwd=ROOT, env=environment, stdin=PIPE, stdout=PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def kill(action: str, name: str, home: Path) -> None:
            print(action, name, home, file=process.stdin, flush=True)
            assert int(process.stdout.readline()) == -signal.SIGKILL

        yield kill
        process.stdin.close()
        assert process.wait(30) == 0


def served(home: Path) -> str:
    reader = Generations(home)
    reader.refresh()
    current = reader.current()
    assert current is not None
    assert reader.last_error is None
    return current.id


def contents(home: Path) -> dict[str, bytes]:
    folder = home / "generations" / served(home)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the second publication ran through, with the key all homes of this module share."""
    home = tmp_path_factory.mktemp("undisturbed")
    small_generation(home, retention=KEEP_ONE)
    small_generation(home, AS_OF + HOUR, retention=KEEP_ONE)
    return home


def home_like(other: Path, home: Path) -> str:
    """A home with the first generation published and the other home's cursor key."""
    (home / "secrets").mkdir()
    (home / "secrets" / "cursor.key").write_bytes((other / "secrets" / "cursor.key").read_bytes())
    return small_generation(home, retention=KEEP_ONE).generation


@pytest.mark.parametrize("name", [*BEFORE_SWAP, *AFTER_SWAP])
def test_a_publication_killed_at_any_step_heals_by_a_rerun(
    name: str, undisturbed: Path, killed_at: KilledAt, tmp_path: Path
) -> None:
    first = home_like(undisturbed, tmp_path)
    killed_at("publish", name, tmp_path)
    assert (served(tmp_path) == first) == (name in BEFORE_SWAP)
    verify(tmp_path)
    small_generation(tmp_path, AS_OF + HOUR, retention=KEEP_ONE)
    assert contents(tmp_path) == contents(undisturbed)
    assert [e.status for e in generations(tmp_path)] == ["live"]
    left = sorted(path.name for path in (tmp_path / "generations").iterdir() if path.suffix != ".lock")
    live = served(tmp_path)
    assert left == [f".verified-{live}", live, "CURRENT", "_standing.json"]


def test_a_rollback_killed_before_the_swap_changes_nothing_served_and_can_be_repeated(
    killed_at: KilledAt, tmp_path: Path
) -> None:
    first, second = small_generation(tmp_path), small_generation(tmp_path, AS_OF + HOUR)
    killed_at("rollback", "rollback.recorded", tmp_path)
    assert served(tmp_path) == second.generation
    assert rollback(tmp_path) == first.generation
    assert served(tmp_path) == first.generation
    with pytest.raises(GenerationRefused):
        rollback(tmp_path)


def test_every_failpoint_of_generations_is_killed_at_here() -> None:
    ours = {name for name in FAILPOINTS if name.split(".")[0] in ("publish", "prune", "rollback")}
    assert ours == {*BEFORE_SWAP, *AFTER_SWAP, "rollback.recorded"}
