"""Which viewers have a row, what state it says, and what is served of metrics."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets.published.datasets import Carried
from assets.published.encoding import UnwritableInstant
from store.generations import publish
from store.payloads import METRICS, cursor_keys, read_cursor
from store.serving import Dataset, Generation
from tests.support.serving import AS_OF, KEEP, datasets_of, plan_of, sample_frames, small_generation, table, user


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def generation(home: Path) -> Generation:
    return Generation.open(home / "generations" / small_generation(home).generation)


def dataset(generation: Generation, name: str) -> Dataset:
    found = generation.dataset(name)
    assert found is not None
    return found


def states(found: Dataset) -> dict[int, str]:
    return {found.key(row): found.state(row) for row in range(found.rows)}


def metric(generation: Generation, name: Any) -> dict[str, Any]:
    found = dataset(generation, "metrics")
    row = found.find(METRICS.index(name))
    assert row is not None
    body: dict[str, Any] = json.loads(found.body(row))
    return body


def test_every_viewer_of_a_product_has_a_row_and_nobody_else(generation: Generation) -> None:
    assert states(dataset(generation, "feed")) == {1: "ready", 2: "ready", 3: "cold_start", 4: "empty", 6: "empty"}
    assert states(dataset(generation, "friend_recommendations")) == {
        1: "ready", 2: "empty", 3: "cold_start", 4: "empty", 5: "empty", 6: "empty",
    }  # fmt: skip
    for name in ("digests", "entitlements", "usage"):
        assert states(dataset(generation, name)) == {1: "ready", **dict.fromkeys((2, 3, 4, 5, 6), "empty")}
    users = dataset(generation, "users")
    assert [users.key(row) for row in range(users.rows)] == [1, 2, 3, 4, 5, 6]
    assert json.loads(users.body(0)) == {"time_zone": "Europe/Berlin"}


def test_a_full_first_page_ends_in_a_cursor_the_api_can_read(home: Path, generation: Generation) -> None:
    for name, resource, variant in (
        ("feed", "feed", "ranked"),
        ("feed_chronological", "feed", "chronological"),
        ("digests", "digests", ""),
    ):
        found = dataset(generation, name)
        row = found.find(1)
        assert row is not None
        page = json.loads(found.page_json(row))
        cursor = read_cursor(page["next_cursor"], cursor_keys(home, []))
        assert (cursor.resource, cursor.variant, cursor.user_id, cursor.generation) == (
            resource, variant, 1, generation.id,
        )  # fmt: skip
        assert (cursor.position, cursor.is_forward, cursor.value) == (20, True, found.fragment_keys(row)[19])
        assert len(page["data"]) == 20


def test_the_rows_of_carried_products_say_how_old_they_are(home: Path) -> None:
    old = AS_OF - timedelta(hours=20)
    frames = sample_frames()
    users = [user(1), user(3), user(4), user(8, created_at=AS_OF - timedelta(hours=2))]
    frames["staged_users"] = table("staged_users", users)
    carried = {product: Carried("20261121T181003000000Z", old) for product in ("friends", "premium")}
    done = publish(
        home, plan_of(home, salt="carried"), lambda g: datasets_of(home, g, AS_OF, frames, carried), retention=KEEP
    )
    generation = Generation.open(home / "generations" / done.generation)
    facts = {name: (info.as_of, info.is_carried_over, info.snapshot_id) for name, info in generation.datasets.items()}
    assert facts["entitlements"] == facts["friend_recommendations"] == (old, True, "20261121T181003000000Z")
    assert facts["feed"] == facts["digests"] == facts["users"] == (AS_OF, False, "20261122T141003000000Z")
    page = json.loads(dataset(generation, "entitlements").page_json(0))
    assert page["as_of"] == "2026-11-21T18:10:03.000000Z"
    assert set(states(dataset(generation, "entitlements"))) == {1, 3, 4}
    assert set(states(dataset(generation, "friend_recommendations"))) == {1, 3, 4}
    assert set(states(dataset(generation, "feed"))) == {1, 3, 4, 8}


def test_a_product_that_is_missing_is_left_out(home: Path) -> None:
    frames = sample_frames()
    del frames["friend_recommendations"], frames["entitlements"]
    assert set(datasets_of(home, "g", frames=frames)) == {
        "users", "metrics", "feed", "feed_chronological", "feed_tombstones", "feed_scores", "digests",
        "digest_details", "usage",
    }  # fmt: skip


def test_recommendations_of_someone_who_wants_none_are_not_shown(home: Path) -> None:
    frames = sample_frames()
    frames["staged_users"] = table("staged_users", [user(1, wants_recommendations=False), user(3), user(4)])
    done = small_generation(home, salt="opted out", frames=frames)
    found = dataset(Generation.open(home / "generations" / done.generation), "friend_recommendations")
    assert states(found) == {1: "empty", 3: "cold_start", 4: "empty"}


def test_metrics_are_shaped_as_the_api_names_them(generation: Generation) -> None:
    assert metric(generation, "growth")["data"][0]["resurrected"] == 11
    lness = metric(generation, "engagement")["data"][0]
    assert (lness["l7"], lness["l28"]) == ([0, 0, 4, 0, 0, 0, 0, 0], [0] * 29)
    ratios = {row["currency"]: (row["nrr_ppm"], row["grr_ppm"]) for row in metric(generation, "revenue")["data"]}
    assert ratios == {"EUR": (1_333_333, 666_666), "USD": (None, None)}
    assert metric(generation, "plans")["data"][0]["date"] == "2026-11-21"


def test_a_metric_that_is_not_published_is_withheld_and_counted(generation: Generation) -> None:
    body = metric(generation, "retention")
    assert (body["data"], body["suppressed_count"]) == ([], 1)
    assert metric(generation, "growth")["suppressed_count"] == 0


def test_metrics_without_tables_are_empty(home: Path) -> None:
    frames = {name: frame for name, frame in sample_frames().items() if name.startswith("staged_")}
    bodies = datasets_of(home, "g", frames=frames)["metrics"].table["body"].to_pylist()
    assert [json.loads(body)["data"] for body in bodies] == [[]] * 5


def test_every_row_of_a_product_is_served_or_counted_as_filtered(generation: Generation) -> None:
    expected = {
        "feed": (sample_frames()["feed_items"].collect()["mode"] == "ranked").sum(),
        "friend_recommendations": 4,
        "digests": 23,
        "entitlements": 3,
    }
    for name, count in expected.items():
        info = generation.datasets[name]
        found = dataset(generation, name)
        assert info.items_in == count == info.items_out + sum(info.filtered.values())
        assert info.items_out == sum(found.count(row) for row in range(found.rows))
    assert generation.datasets["users"].items_out == 6


def test_what_is_left_out_is_counted_by_reason(home: Path) -> None:
    frames = sample_frames()
    frames["staged_users"] = table("staged_users", [user(1, wants_recommendations=False), user(3), user(4)])
    done = small_generation(home, salt="left out", frames=frames)
    infos = Generation.open(home / "generations" / done.generation).datasets
    assert dict(infos["friend_recommendations"].filtered) == {"no_longer_shown": 3, "viewer_not_served": 0}
    assert dict(infos["feed"].filtered) == {"viewer_not_served": 1}


@pytest.mark.parametrize(
    ("product", "column", "dataset"),
    [
        ("feed_items", "last_activity_at", "feed"),
        ("digest_history", "deliver_after", "digests"),
        ("entitlements", "resets_at", "entitlements"),
    ],
)
def test_an_instant_that_cannot_be_written_is_refused_by_dataset_and_column(
    home: Path, product: str, column: str, dataset: str
) -> None:
    year_10000 = pl.lit(253_402_300_800_000_000).cast(pl.Datetime("us", "UTC"))
    frames = sample_frames()
    frames[product] = frames[product].with_columns(year_10000.alias(column))
    with pytest.raises(UnwritableInstant, match=rf"^dataset {dataset}: {column} of row 0 is 2534"):
        datasets_of(home, "g", frames=frames)
