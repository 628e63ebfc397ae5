"""A generated world goes into the app's Postgres as it stands: every constraint of the schema holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from store.source import row_counts
from store.worlds import load_world
from tests.support.worlds_made import made, table


@pytest.mark.parametrize("users", [1, 300])
def test_a_generated_world_loads_whole(users: int, new_database: Callable[..., str]) -> None:
    url = new_database()
    load_world(url, made(users, 11))
    counts = row_counts(url)
    assert counts["users"] == users
    assert counts == {name: table(name, users, 11).height for name in counts}
