"""The run's pictures show its own numbers, as well-formed images."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import numpy as np
import polars as pl

from assets.friends import plots
from store.settings import FriendsSettings
from tests.friends.test_learned import circles
from tests.support.friends import run


def drawn(markdown: str) -> list[float]:
    """The heights of the bars."""
    found = re.search(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert found
    root = ElementTree.fromstring(base64.b64decode(found[1]))
    return [float(bar.get("height", "")) for bar in root.iter("{http://www.w3.org/2000/svg}rect")]


def test_a_bar_is_as_high_as_its_number_and_the_numbers_stand_below() -> None:
    made = plots.bars("a <b>", ["x", "y&", "z"], [1, 4, 2])
    one, four, two = drawn(made)
    assert (four, two) == (4 * one, 2 * one)
    assert made.splitlines()[-1] == "| 1 | 4 | 2 |"


def test_degrees_are_counted_in_powers_of_two_and_scores_in_equal_steps() -> None:
    assert plots.degree_distribution(np.asarray([0, 1, 1, 2, 3, 7])).splitlines()[-1] == "| 1 | 2 | 2 | 1 |"
    counts = plots.score_distribution(pl.Series([0, 1, 999, 1000])).splitlines()[-1].strip("| ").split(" | ")
    assert len(counts) == plots.BINS and sum(map(int, counts)) == 4 and counts[0] == counts[-1] == "2"


def test_a_run_draws_its_scores_degrees_and_what_it_found_again_by_slice() -> None:
    told = run(circles(), FriendsSettings(k=10)).notes["plots"]
    assert set(told) == {"score_distribution", "degree_distribution", "recall_by_slice"}
    assert all(drawn(picture) for picture in told.values())
    assert "| 0 | 1-4 | 5-19 | 20+ |" in told["recall_by_slice"]


def test_a_world_of_nobody_has_empty_pictures() -> None:
    told = run({}).notes["plots"]
    assert set(told) == {"score_distribution", "degree_distribution"}
