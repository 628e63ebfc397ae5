"""The digests product (04.1-04.4): from staged tables and the previous state to settled digests.

The order of the stages, nothing else; each stage is a file of this folder. Delivery (04.5) is not
part of it: what a run settles is a product, sending it is not.
"""

from __future__ import annotations

import polars as pl

from assets.digests.due import occurrences
from assets.digests.forgetting import forget
from assets.digests.items import candidates
from assets.digests.letters import written
from assets.digests.settling import Settled, settle
from assets.digests.state import carried_history, next_delivered, next_history, next_streams, not_erased
from assets.digests.status import REASONS, may_need_items
from assets.digests.streams import Streams, present_users, streams
from assets.digests.windows import with_deliver_after
from assets.frame import Inputs, Product, Result, StageCount
from quality.contract import Contract
from quality.digests import DIGESTS
from store.settings import DigestsSettings
from store.zones import TZDATA_VERSION

CONTRACTS: dict[str, Contract] = {contract.name: contract for contract in DIGESTS}
CROSSINGS = "usage_threshold_crossings"
STATE = ("digest_streams", "digest_delivered", "digest_history")


def compute(inputs: Inputs[DigestsSettings]) -> Result:
    """Settle what is due at ``inputs.as_of``. Raises ``ValueError`` when the state is not older."""
    if inputs.previous_as_of is not None and inputs.previous_as_of >= inputs.as_of:
        raise ValueError(f"previous digests of {inputs.previous_as_of} are not older than as_of {inputs.as_of}")
    frames, config, as_of = inputs.frames, inputs.config, inputs.as_of
    erasures = frames["staged_erasure_requests"]
    state = {name: not_erased(inputs.previous[name], erasures).collect() for name in STATE}
    users = present_users(frames["staged_users"], erasures, as_of)
    state["digest_history"] = forget(state["digest_history"], erasures, users, frames["staged_groups"])
    preferences = frames["staged_notification_preferences"]
    found = streams(frames["staged_digest_schedules"], preferences, users, state["digest_streams"].lazy())
    due = occurrences(found.rows, config, as_of)
    if due.is_empty():
        return _unchanged(state, found, inputs)
    pool = candidates(
        due.filter(may_need_items(as_of)), preferences, users, frames, inputs.previous[CROSSINGS], config, as_of
    )
    settled = settle(due, pool.rows, state["digest_delivered"], config, as_of)
    return _result(settled, state, inputs, users, (*found.counts, *pool.counts, *settled.counts), found)


def _notes(found: Streams, rows: pl.DataFrame) -> dict[str, object]:
    statuses = dict(rows.group_by("status").len().sort("status").iter_rows()) if rows.height else {}
    return {
        "tzdata_version": TZDATA_VERSION,
        "unknown_time_zone_users": found.unknown_zone_count,
        "statuses": statuses,
    }


def _unchanged(state: dict[str, pl.DataFrame], found: Streams, inputs: Inputs[DigestsSettings]) -> Result:
    """Nobody has anything due: no rows, and the state carried on."""
    tables = {name: contract.empty() for name, contract in CONTRACTS.items()}
    tables["digest_streams"] = state["digest_streams"].sort("user_id", "kind", "channel")
    tables["digest_delivered"] = next_delivered(state["digest_delivered"], inputs.config, inputs.as_of)
    tables["digest_history"] = carried_history(state["digest_history"], inputs.as_of)
    return Result(_in_shape(tables), found.counts, _notes(found, tables["digests"]))


def _result(
    settled: Settled,
    state: dict[str, pl.DataFrame],
    inputs: Inputs[DigestsSettings],
    users: pl.LazyFrame,
    counts: tuple[StageCount, ...],
    found: Streams,
) -> Result:
    built = settled.rows.filter(pl.col("status") == "built")
    bodies, texts = written(built, settled.groups, settled.items, users, inputs.frames["staged_groups"])
    rows = (
        settled.rows.join(with_deliver_after(built).select("digest_id", "deliver_after"), on="digest_id", how="left")
        .join(bodies.select("digest_id", "subject", "content_hash"), on="digest_id", how="left")
        .with_columns(
            pl.col("due_at").alias("window_end"),
            pl.col("zone").alias("time_zone"),
            pl.col("status").replace_strict(REASONS, return_dtype=pl.String).alias("reason"),
        )
    )
    groups = settled.groups.join(texts, on=["digest_id", "rank"]).with_columns(
        pl.concat_list("actor_ids", pl.concat_list("owner_id").list.drop_nulls())
        .list.unique().list.sort().alias("principal_ids")
    )  # fmt: skip
    tables = {
        "digests": rows,
        "digest_groups": groups,
        "digest_items": settled.items,
        "digest_bodies": bodies,
        "digest_streams": next_streams(
            state["digest_streams"], settled.rows, settled.windows, inputs.config, inputs.as_of
        ),
        "digest_delivered": next_delivered(settled.delivered, inputs.config, inputs.as_of),
        "digest_history": next_history(
            state["digest_history"], rows.filter(pl.col("status") == "built"), groups,
            bodies.select("digest_id", "text", "html"), inputs.as_of,
        ),
    }  # fmt: skip
    return Result(_in_shape(tables), counts, _notes(found, settled.rows))


def _in_shape(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Every table with its contract's columns and types, sorted by its key."""
    return {
        name: tables[name].select(list(contract.schema)).cast(contract.schema).sort(contract.key)  # type: ignore[arg-type]
        for name, contract in CONTRACTS.items()
    }


digests: Product[DigestsSettings] = Product(
    name="digests",
    tables=tuple(CONTRACTS),
    inputs=(
        "staged_activities",
        "staged_blocks",
        "staged_digest_schedules",
        "staged_erasure_requests",
        "staged_friendships",
        "staged_groups",
        "staged_memberships",
        "staged_mutes",
        "staged_notification_preferences",
        "staged_notifications",
        "staged_users",
    ),
    config=DigestsSettings,
    compute=compute,
    previous=(*STATE, CROSSINGS),
)
