"""A run killed anywhere leaves the old generation served; run again, it ends with the same bytes (laws 2, 4, 5)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.failpoints import FAILPOINTS
from store.generator import generate_world
from store.serving import Generations
from store.settings import Settings
from store.source import embedded_server
from tests.support.flowforge import flowforge, live, make_world_home, products

BEFORE = {"FLOWFORGE_FEED__HALF_LIFE_HOURS": "12", "FLOWFORGE_FRIENDS__K": "10"}
"""Another configuration of the same snapshot: another generation."""
QUICK = ("digests.accepted",)
RUN_POINTS = sorted(p for p in FAILPOINTS if not p.startswith(("prune.", "rollback.")))


def copy_home(source: Path, target: Path) -> None:
    # cp keeps the owner of the server's data folder; shutil does not.
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    generate_world(folder, users=60, seed=3)
    return folder


@pytest.fixture(scope="session")
def reference(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one generation computed under BEFORE, and then one under the defaults."""
    home = tmp_path_factory.mktemp("reference")
    home.chmod(0o755)
    make_world_home(home, world)
    first = flowforge("run", home=home, **BEFORE)
    assert first.returncode == 0, first.stdout + first.stderr
    copy_home(home, home.parent / f"{home.name}-served")
    second = flowforge("run", home=home)
    assert second.returncode == 0, second.stdout + second.stderr
    return home


@pytest.fixture
def home(reference: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the home in which only the generation of BEFORE is served."""
    copy = tmp_path / "home"
    copy_home(reference.parent / f"{reference.name}-served", copy)
    for snapshot in (copy / "lake" / "snapshots").iterdir():
        shutil.rmtree(snapshot)
    yield copy
    embedded_server(Settings(home=copy)).stop()  # a killed run leaves its server behind


def verified(home: Path) -> str | None:
    """The generation a reader serves after checking every byte of it."""
    reader = Generations(home)
    reader.refresh()
    assert reader.last_error is None
    current = reader.current()
    return current.id if current else None


@pytest.mark.parametrize(
    "failpoint", [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in RUN_POINTS]
)
def test_a_run_killed_anywhere_leaves_the_old_generation_served_and_ends_the_same(failpoint, home, reference):
    served = live(home)
    killed = flowforge("run", home=home, FLOWFORGE_ENV="test", FLOWFORGE_FAILPOINT=f"{failpoint}:kill")
    assert killed.returncode == -9, killed.stdout + killed.stderr
    assert live(home) == (live(reference) if failpoint == "publish.swapped" else served)
    assert verified(home) == live(home)
    again = flowforge("run", home=home)
    assert again.returncode == 0, again.stdout + again.stderr
    assert products(home) == products(reference)
    assert live(home).split("-")[0] == live(reference).split("-")[0]


def test_the_same_world_gives_the_same_bytes_with_another_thread_count(reference, world, tmp_path):
    home = tmp_path / "other"
    make_world_home(home, world)
    done = flowforge("run", home=home, POLARS_MAX_THREADS="1", NUMBA_NUM_THREADS="1", FLOWFORGE_SNAPSHOT__WORKERS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert products(home) == products(reference)


def test_one_flipped_byte_in_a_snapshot_file_is_refused_by_name(home):
    assert flowforge("run", home=home).returncode == 0
    served = live(home)
    part = next((home / "lake" / "snapshots").glob("*/activities/part-*.parquet"))
    damaged = bytearray(part.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    part.write_bytes(damaged)
    as_of = part.parent.parent.name
    refused = flowforge("run", "--as-of", f"{as_of[:4]}-{as_of[4:6]}-{as_of[6:8]}T23:59:59Z", home=home)
    assert refused.returncode == 1
    assert "activities/part-" in " ".join(refused.stdout.split())
    assert live(home) == served
