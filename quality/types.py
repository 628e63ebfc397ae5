"""The column types contracts are written in, and their common strictness."""

from __future__ import annotations

from typing import Annotated

import polars as pl
from pandera.api.polars.model_config import BaseConfig

Instant = Annotated[pl.Datetime, "us", "UTC"]
BigintList = Annotated[pl.List, pl.Int64()]
TextList = Annotated[pl.List, pl.String()]


class Strict(BaseConfig):
    """Exactly these columns, in this order."""

    strict = True
    ordered = True
