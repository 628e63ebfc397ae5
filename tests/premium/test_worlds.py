"""Known figures of public data, reproduced exactly."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from assets.frame import Inputs, Result
from assets.premium.product import CONTRACTS, INPUTS, premium
from assets.premium.reconciliations import reconcile
from quality.contract import judge
from store.settings import PremiumSettings
from tests.support.premium import SCHEMAS

WORLDS = Path(__file__).parents[2].parent / "shared" / "worlds"


def load(name: str) -> Inputs[PremiumSettings]:
    folder = WORLDS / name
    if not folder.exists():
        pytest.skip(f"the world {name} is not here: {folder}")
    frames: dict[str, pl.LazyFrame] = {}
    for table in INPUTS:
        schema = SCHEMAS[table].schema
        path = folder / f"{table.removeprefix('staged_')}.parquet"
        if path.exists():
            raw = pl.read_parquet(path)
            frames[table] = raw.select(pl.col(column).cast(dtype) for column, dtype in schema.items()).lazy()
        else:
            frames[table] = SCHEMAS[table].empty().lazy()
    as_of = datetime.fromisoformat(json.loads((folder / "world.json").read_text())["as_of"])
    return Inputs(frames, {}, None, PremiumSettings(), as_of)


def accepted(name: str) -> Result:
    inputs = load(name)
    result = premium.compute(inputs)
    staged = {table: frame.collect() for table, frame in inputs.frames.items()}
    assert reconcile({**result.tables, **staged}) == []
    assert [str(failure) for table, frame in result.tables.items() for failure in judge(CONTRACTS[table], frame)] == []
    return result


def test_a17_cdnow_purchases_and_monthly_actives() -> None:
    tables = accepted("cdnow_sample").tables
    usage = tables["usage_daily"]
    assert (usage["user_id"].n_unique(), usage["event_count"].sum(), usage["value"].sum()) == (2357, 6919, 24_409_194)
    months = tables["growth_accounting"].filter((pl.col("grain") == "month") & (pl.col("segment") == "all"))
    assert months["active_count"].to_list() == [
        781,
        981,
        948,
        267,
        224,
        232,
        203,
        178,
        168,
        176,
        205,
        183,
        149,
        157,
        211,
        125,
        134,
        138,
    ]
    assert months["new_count"].sum() == 2357


def test_socialnet_counts_every_event_and_every_subscription() -> None:
    result = accepted("socialnet")
    tables = result.tables
    assert tables["usage_intake"].row(0) == (422_716, 422_716, 0, 0, 0)
    assert tables["usage_daily"]["event_count"].sum() == 422_716
    revenue = tables["revenue_monthly"].sort("month")
    assert (
        revenue["paying_end_count"].to_list()[0]
        == tables["plan_daily"].filter(pl.col("day") == pl.date(2020, 1, 31))["active_count"].sum()
    )
    assert (revenue["end_arr_minor"] == revenue["paying_end_count"] * 12_000).all()
