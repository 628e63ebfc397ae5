"""After a run, and daily: what is old enough to go, and who is to be forgotten by now (``RETENTION__*``).

Lives here: the order of these steps and Dagster's own runs. Does not belong here: what each step removes
(``store.retention``, ``store.erasure``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import sqlalchemy as sa

from quality.registry import REGISTRY
from store.erasure import (
    erase_from_rejects,
    erase_from_snapshots,
    erased_people,
    forget_generations,
    forget_products,
    forgotten_people,
    record_forgotten,
    remember,
)
from store.home import read_home
from store.lake import Lake
from store.retention import prune_lake
from store.settings import Settings
from store.source import libpq_url, transaction
from store.traces import Person

DIGESTS = tuple(name for name, contract in REGISTRY.items() if contract.group == "digests")


@dataclass
class Kept:
    """What a round of housekeeping did."""

    removed: list[str] = field(default_factory=list)
    runs: int = 0
    erased: list[int] = field(default_factory=list)


def now_of(settings: Settings) -> datetime:
    """The home's now: the clock, or in a world's home the ``as_of`` at which it is looked at."""
    record = read_home(settings.home)
    return record.as_of if record else datetime.now(UTC)


def keep_house(settings: Settings, instance: dg.DagsterInstance | None = None) -> Kept:
    """Remove what retention does not keep, and every trace of people whose erasure is due.

    An erasure is due ``RETENTION__ERASURE_DAYS`` after it was requested; until then old files age out by
    themselves; once they are gone nothing new holds them, for snapshots are taken without them. Who asked after
    the newest products were computed waits for the next ones: those that the digests go on from must be free of
    them before the older ones go. Only for the holder of the home's run lock.
    """
    lake, now = Lake(settings.home), now_of(settings)
    done = Kept(prune_lake(lake, settings.retention, now=now))
    newest = lake.newest_accepted(DIGESTS)
    computed = now if newest is None else min(table.manifest.as_of for table in newest.values())
    until = min(now - timedelta(settings.retention.erasure_days), computed)
    gone = forgotten_people(lake.home)
    due = sorted(user for user, at in requests(lake).items() if at <= until and user not in gone)
    if due:
        removed, live = remove_traces(lake, due)
        done.erased, done.removed = due, done.removed + removed
        if live is None:
            record_forgotten(lake.home, due, now)
    if instance is not None:
        done.runs = _forget_runs(instance, settings.retention.run_days)
    return done


def requests(lake: Lake) -> dict[int, datetime]:
    """Everybody who asked to be erased: the newest snapshot's requests and the home's erasure set."""
    newest = lake.newest_snapshot()
    people = erased_people(lake.home)
    if newest is None:
        return people
    rows = lake.scan_snapshot(newest, "erasure_requests").select("user_id", "requested_at").collect()
    return {**people, **dict(rows.drop_nulls().iter_rows())}


def remove_traces(lake: Lake, people: list[int]) -> tuple[list[str], str | None]:
    """Rewrite snapshots and rejects, remove products and generations that hold ``people``.

    Returns what was touched, and the live generation if it holds them: that one stays until the next one is
    published.
    """
    touched = [f"snapshots/{i}" for i in erase_from_snapshots(lake, people)]
    erase_from_rejects(lake, people)
    touched += [f"products/{i}" for i in forget_products(lake, people)]
    removed, live = forget_generations(lake.home, people)
    return touched + [f"generations/{i}" for i in removed], live


def begin_erasure(settings: Settings, user_id: int) -> list[str]:
    """Remember the person and take them out of snapshots and rejects; the snapshots that changed."""
    lake = Lake(settings.home)
    remember(settings.home, user_id, now_of(settings))
    changed = erase_from_snapshots(lake, [user_id])
    erase_from_rejects(lake, [user_id])
    return changed


def person_of(lake: Lake, user_id: int, source: str | None) -> Person:
    """What is known of a person, in the source (when given) or the newest snapshot that still has them.

    A name that somebody else carries too is left out: finding it would prove nothing.
    """
    texts: list[str] = []
    if source is not None:
        with transaction(source) as connection:
            found = connection.execute(
                sa.text(
                    "SELECT handle, email, CASE WHEN (SELECT count(*) FROM app.users o WHERE"
                    " o.display_name = u.display_name) = 1 THEN display_name END FROM app.users u WHERE id = :id"
                ),
                {"id": user_id},
            ).first()
        texts = [str(text) for text in found or () if text]
    for snapshot_id in reversed(lake.snapshot_ids() if not texts else []):
        users = lake.scan_snapshot(lake.snapshot(snapshot_id), "users").select("id", "handle", "display_name").collect()
        own = users.filter(pl.col("id") == user_id)
        if own.height:
            name = own["display_name"][0]
            is_only = users.filter(pl.col("display_name") == name).height == 1
            texts = [own["handle"][0], *([name] if is_only else [])]
            break
    return Person(user_id, tuple(texts))


def reachable_source(url: str) -> str | None:
    """``url`` if something answers there."""
    try:
        with transaction(libpq_url(url)) as connection:
            connection.execute(sa.text("SELECT 1 FROM app.users LIMIT 1"))
    except sa.exc.SQLAlchemyError:
        return None
    return url


def _forget_runs(instance: dg.DagsterInstance, days: int) -> int:
    """Delete Dagster's runs (with their logs) that ended more than ``days`` ago."""
    oldest = datetime.now(UTC) - timedelta(days=days)
    over = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    old = instance.get_run_records(dg.RunsFilter(statuses=over, created_before=oldest))
    for record in old:
        instance.delete_run(record.dagster_run.run_id)
    return len(old)
