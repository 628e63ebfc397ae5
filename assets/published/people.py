"""Who a generation knows, and who is a viewer of which product (spec 06.1, 06.2 states).

A viewer with nothing to show has a row (``empty``); a user without a row is ``building``. Pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from assets.published.encoding import encoded

SEEN_DAYS = 30
"""Feeds are computed for users seen within so many days (03.5)."""


def known_users(users: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Active users there at ``as_of``, by id; the erased are in no staged table."""
    return users.filter((pl.col("created_at") < as_of) & (pl.col("status") == "active")).sort("id")


def wanting_recommendations(known: pl.DataFrame) -> pl.DataFrame:
    """The users who want recommendations (02.2); the others have an empty list, not a missing one."""
    return known.filter(pl.col("wants_recommendations"))


def feed_viewers(known: pl.DataFrame, as_of: datetime) -> pl.Series:
    """Ids of the users seen lately; never seen counts as seen (03.5)."""
    seen = pl.col("last_seen_at")
    return known.filter(seen.is_null() | (seen >= as_of - timedelta(days=SEEN_DAYS)))["id"]


def user_documents(known: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Ids and bodies of the dataset ``users``: what a read needs of a user besides the lists."""
    return known["id"], known.select(encoded(pl.col("time_zone"))).to_series()
