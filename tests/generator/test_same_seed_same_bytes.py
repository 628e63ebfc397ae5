"""Same arguments, same bytes of every file; the seed matters; nothing half-made is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from pipelines.cli.generate import generate
from store.generator import GeneratedWorld, generate_world
from store.generator import tables as tables_module
from tests.support.worlds_made import digests, made


@pytest.mark.parametrize("users", [1, 2, 300])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, users: int) -> None:
    again = generate_world(tmp_path / "again", users=users, seed=11)
    assert digests(again.directory) == digests(made(users, 11))


def test_another_process_with_other_threads_and_hash_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from store.generator import generate_world as g; "
    script += "g(Path(sys.argv[1]), users=300, seed=11)"
    env = os.environ | {"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "1", "TZ": "Asia/Tokyo"}
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "w")], check=True, env=env, cwd=Path(__file__).parents[2]
    )
    assert digests(tmp_path / "w") == digests(made(300, 11))


def test_another_seed_gives_another_world() -> None:
    one, other = digests(made(300, 11)), digests(made(300, 12))
    price_list = {"plans.parquet", "plan_prices.parquet", "plan_features.parquet", "meters.parquet"}
    always_equal = {name for name in one if one[name] == other[name]}
    assert always_equal == price_list


def test_texts_do_not_depend_on_the_chunk_in_which_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from store.generator import activities, notifications

    whole = made(300, 11)
    for module in (activities, notifications, tables_module):
        monkeypatch.setattr(module, "CHUNK", 97)
    small = generate_world(tmp_path / "small", users=300, seed=11).directory
    for name, column in (("activities", "body"), ("notifications", "payload")):
        one = pl.read_parquet(small / f"{name}.parquet")
        assert one.equals(pl.read_parquet(whole / f"{name}.parquet")), column


def test_the_world_can_be_looked_at_from_another_instant(tmp_path: Path) -> None:
    as_of = datetime(2024, 2, 29, 12, tzinfo=UTC)
    world = generate_world(tmp_path / "leap", users=50, as_of=as_of)
    assert isinstance(world, GeneratedWorld)
    latest = pl.read_parquet(world.directory / "activities.parquet")["created_at"].max()
    assert isinstance(latest, datetime)
    assert latest < as_of


@pytest.mark.parametrize("bad", [{"users": 0}, {"users": 5, "seed": -1}, {"users": 5, "as_of": datetime(2026, 1, 1)}])  # noqa: DTZ001
def test_impossible_arguments_are_refused_before_anything_is_written(tmp_path: Path, bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must"):
        generate_world(tmp_path / "w", **bad)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_not_overwritten_and_a_world_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for replace in (False, True):
        with pytest.raises(FileExistsError, match="not empty"):
            generate_world(tmp_path / "mine", users=2, replace=replace)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"
    generate_world(tmp_path / "w", users=2)
    with pytest.raises(FileExistsError, match="replace"):
        generate_world(tmp_path / "w", users=2)
    assert generate_world(tmp_path / "w", users=3, replace=True).rows["users"] == 3


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop_at_usage(part: str) -> None:
        if part == "usage":
            raise Stop

    with pytest.raises(Stop):
        generate_world(tmp_path / "w", users=50, progress=stop_at_usage)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_world_and_says_what_is_in_it(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(generate)
    run = CliRunner().invoke(app, ["--users", "300", "--seed", "11", "--to", str(tmp_path / "w")])
    assert run.exit_code == 0, run.output
    assert "300 people" in run.output
    assert digests(tmp_path / "w") == digests(made(300, 11))
    again = CliRunner().invoke(app, ["--users", "2", "--to", str(tmp_path / "w")])
    assert again.exit_code == 1
