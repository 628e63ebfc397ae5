"""``flowforge explain`` as a user runs it, on a home that the demo made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from store.serving import Generation
from tests.support.flowforge import flowforge, live

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explain") / "home"
    done = flowforge("demo", "--once", "--users", "120", home=path)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


def explained(home: Path, user: int, *more: str) -> dict[str, Any]:
    done = flowforge("explain", str(user), "--json", *more, home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def test_everything_of_everybody_adds_up_and_is_what_is_served(home: Path):
    generation = Generation.open(home / "generations" / str(live(home)))
    scores, feeds = generation.dataset("feed_scores"), generation.dataset("feed")
    assert scores is not None
    assert feeds is not None
    told = 0
    for row in range(0, scores.rows, 20):
        document = explained(home, scores.key(row))
        assert document["generation"] == generation.id
        for product, section in document["products"].items():
            assert not [note for note in section["notes"] if "differ" in note], (product, section["notes"])
            for stage in section["stages"]:
                assert stage["rows_in"] == stage["rows_out"] + sum(r["count"] for r in stage["removed"])
        ranked = [r for r in document["products"]["feed"]["rows"] if r["mode"] == "ranked"]
        assert [list(r["parts"].values()) for r in ranked] == json.loads(scores.body(row))["parts"]
        assert all(sum(r["parts"].values()) == r["score"] for r in ranked)
        for limit in document["products"]["entitlements"]["rows"]:
            assert not limit["parts"] or sum(limit["parts"].values()) == limit["granted"]
        told += len(ranked)
    assert told > 50


def test_a_generation_counts_what_its_products_took_kept_and_left_out(home: Path):
    counts = Generation.open(home / "generations" / str(live(home))).info.counts
    assert counts.rows_in == counts.rows_out + counts.rejected + sum(counts.filtered.values()) > 0
    assert {name.split(".")[0] for name in counts.filtered} >= {"feed", "friends", "digests"}


def test_it_reads_like_a_feed(home: Path):
    generation = Generation.open(home / "generations" / str(live(home)))
    user = generation.dataset("feed_scores").key(0)  # type: ignore[union-attr]
    done = flowforge("explain", str(user), "--product", "feed", "--rows", "2", home=home)
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("why:", "score:", "go on"))
    assert "People you may know" not in done.stdout


def test_what_cannot_be_explained_says_why(home: Path, tmp_path: Path):
    nothing = flowforge("explain", "1", home=tmp_path)
    assert (nothing.returncode, "nothing is published yet" in nothing.stderr) == (69, True)
    unknown = flowforge("explain", "999999", home=home)
    assert (unknown.returncode, "there is no user 999999" in unknown.stderr) == (69, True)
