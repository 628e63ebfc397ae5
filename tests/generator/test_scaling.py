"""Spec 01.2: ``--scale F`` makes a world F times another, its users resampled uniformly."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from pipelines.cli.generate import generate
from quality.erasure import PRINCIPALS
from store.scaling import CATALOG, KEYS, scale_world
from store.source import row_counts
from store.world_rows import WorldError
from store.worlds import load_world
from tests.support.postgres import world_folder
from tests.support.worlds_made import digests, made

USERS = 300


def _read(folder: Path, table: str) -> pl.DataFrame:
    return pl.read_parquet(folder / f"{table}.parquet")


def test_two_and_a_half_worlds_load_whole(tmp_path: Path, new_database: Callable[..., str]) -> None:
    url = new_database()
    world, rows = scale_world(made(USERS, 11), tmp_path / "w", factor=Decimal("2.5"))
    assert load_world(url, tmp_path / "w") == world
    assert row_counts(url) == rows
    assert rows["users"] == USERS * 5 // 2


@pytest.mark.parametrize("factor", ["0.3", "2", "2.5"])
def test_the_same_arguments_give_the_same_bytes_and_the_seed_draws_the_sample(tmp_path: Path, factor: str) -> None:
    for folder, seed in (("a", 7), ("b", 7), ("c", 8)):
        scale_world(made(USERS, 11), tmp_path / folder, factor=Decimal(factor), seed=seed)
    one, again, other = (digests(tmp_path / name) for name in "abc")
    assert one == again
    assert (one["users.parquet"] != other["users.parquet"]) == (factor != "2")


def test_every_whole_copy_is_the_world_under_other_ids(tmp_path: Path) -> None:
    world = made(USERS, 11)
    scale_world(world, tmp_path / "w", factor=Decimal(3))
    for table in ("friendships", "activities", "memberships", "notifications", "subscription_versions"):
        one, three = _read(world, table), _read(tmp_path / "w", table)
        ids = {*PRINCIPALS[table], *KEYS.get(table, {}), "object_id", "dedupe_key", "mentioned_user_ids"}
        rest = [name for name in one.columns if name not in ids]
        for copy in range(3):
            part = three.slice(copy * one.height, one.height)
            assert part.select(rest).equals(one.select(rest))
            for column in ids & set(one.columns) - {"object_id", "dedupe_key", "mentioned_user_ids"}:
                assert (part[column] - one[column]).drop_nulls().n_unique() <= 1
    degrees = _read(tmp_path / "w", "friendships").group_by("user_a_id").len()["len"].sort()
    assert degrees.to_list() == sorted(_read(world, "friendships").group_by("user_a_id").len()["len"].to_list() * 3)


def test_objects_of_a_copy_are_the_copys_own(tmp_path: Path) -> None:
    scale_world(made(USERS, 11), tmp_path / "w", factor=Decimal(2))
    activities = _read(tmp_path / "w", "activities")
    comments = activities.filter(pl.col("verb") == "comment").join(
        activities.select(object_id="id", author="actor_id", parent="verb"), on="object_id", how="left"
    )
    assert comments.height
    assert (comments["author"] == comments["object_owner_id"]).all()
    assert comments["parent"].is_in(["post", "comment"]).all()
    befriended = activities.filter(pl.col("object_type") == "user")
    assert (befriended["object_id"] == befriended["object_owner_id"]).all()


def test_a_sample_is_of_users_and_keeps_all_that_is_among_them(tmp_path: Path) -> None:
    world = made(USERS, 11)
    scale_world(world, tmp_path / "w", factor=Decimal("0.4"))
    drawn = _read(tmp_path / "w", "users")["id"]
    assert drawn.len() == USERS * 4 // 10
    assert drawn.is_in(_read(world, "users")["id"].implode()).all()
    whole = _read(world, "friendships")
    among = whole.filter(pl.col("user_a_id").is_in(drawn.implode()) & pl.col("user_b_id").is_in(drawn.implode()))
    assert _read(tmp_path / "w", "friendships").equals(among)
    for table in CATALOG:
        assert _read(tmp_path / "w", table).equals(_read(world, table))


def test_what_cannot_be_scaled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="not a world"):
        scale_world(tmp_path, tmp_path / "w", factor=Decimal(1))
    with pytest.raises(WorldError, match="users"):
        scale_world(made(1, 11), tmp_path / "w", factor=Decimal("0.1"))
    scale_world(made(1, 11), tmp_path / "w", factor=Decimal(2))
    with pytest.raises(FileExistsError, match="replace"):
        scale_world(made(1, 11), tmp_path / "w", factor=Decimal(2))


def test_a_public_world_is_scaled_by_the_command(tmp_path: Path, fresh_database: str) -> None:
    app = typer.Typer()
    app.command()(generate)
    folder = world_folder("ldbc_sf0003")
    args = ["--world", str(folder), "--scale", "1.5", "--to", str(tmp_path / "w")]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    users = _read(folder, "users").height
    assert f"{round(Decimal('1.5') * users):,} people" in done.output
    load_world(fresh_database, tmp_path / "w")
    refused = CliRunner().invoke(app, ["--scale", "2", "--to", str(tmp_path / "x")])
    assert refused.exit_code == 1
    assert "--world" in refused.output
