"""The quality gate (2.5): worse than the last accepted run by more than the margin is not accepted."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from assets.frame import Inputs, Result
from assets.friends import gate, signals
from assets.friends.engine import Engine
from assets.friends.product import compute, friends
from store.settings import FriendsSettings
from tests.friends.test_learned import circles
from tests.support.friends import AS_OF, frames

CONFIG = FriendsSettings(k=10, ranker="learned")


def run(before: Result | None = None, config: FriendsSettings = CONFIG) -> Result:
    previous = {"friend_model": before.tables["friend_model"].lazy()} if before else {}
    return compute(Inputs(frames(circles()), previous, None, config, AS_OF), Engine(2))


def test_the_last_accepted_evaluation_is_a_named_previous_state() -> None:
    assert friends.previous == ("friend_model",)


def test_the_first_run_and_an_equal_one_are_accepted() -> None:
    first = run()
    assert gate.friends_quality(first.tables)["friend_model"] == []
    assert gate.friends_quality(run(first).tables)["friend_model"] == []


def test_a_run_with_broken_features_is_not_accepted_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    first = run()
    real = signals.columns

    def broken(scene: Any, pairs: pl.DataFrame, engine: Engine, asked: Any = signals.SIGNALS) -> Any:
        # Every signal stands beside the wrong pair.
        return [column[::-1].copy() for column in real(scene, pairs, engine, asked)]

    monkeypatch.setattr(signals, "columns", broken)
    worse = run(first)
    failures = gate.friends_quality(worse.tables)["friend_model"]
    assert failures
    assert "fell from" in str(failures[0])
    assert worse.notes["fell_below_the_last_accepted"]
    assert gate.friends_quality(run(None).tables)["friend_model"] == []
    generous = CONFIG.model_copy(update={"quality_margin_percent": 100})
    assert gate.friends_quality(run(first, generous).tables)["friend_model"] == []


@pytest.mark.parametrize(("now", "is_lost"), [(0.45, False), (0.4499, True)])
def test_the_margin_itself_is_still_accepted(now: float, is_lost: bool) -> None:
    def told(value: float) -> dict[str, Any]:
        return {"viewer_count": 9, "recall_at_20": value, "map_at_20": 0.2}

    evaluation = json.dumps({"learned": told(0.5)})
    before = pl.DataFrame({"variant": ["control"], "is_learned": [True], "evaluation": [evaluation]})
    assert bool(gate.losses(told(now), before, 10)) == is_lost
    assert gate.losses(None, before, 10, is_judged=False) == []
    assert "nothing could be judged" in gate.losses(None, before, 10)[0]
