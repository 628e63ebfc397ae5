"""The people: accounts, places, habits. Sorted by sign-up, so that ids grow with time.

Sign-ups grow over three years; each person has a drive (heavy-tailed: a few do most), a habit
(lark or owl), a first language, and three topics they keep coming back to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from store.generator.clock import DAY, HOUR, MINUTE, Clock, make_clock
from store.generator.columns import array, compute, labels, maybe, null_text
from store.generator.draws import Bools, Floats, Ints, pick, stream
from store.generator.names import Names, make_names
from store.generator.places import places
from store.generator.tables import CHUNK, WorldWriter

SIGNUP_DAYS = 1095
STATUSES = ("active", "deactivated", "suspended", "deleted")
VISIBILITIES = ("public", "friends", "private")
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class People:
    """Columns of all people; position i has id i + 1."""

    count: int
    clock: Clock
    city: Ints
    zone: Ints
    """Position in ``zones``."""
    zones: list[str]
    locale: list[str]
    locale_code: Ints
    country: Ints
    countries: list[str | None]
    names: Names
    created: Ints
    drive: Floats
    """Heavy-tailed, mean 1: how much a person does."""
    habit: Floats
    """Hours by which their day is later than most people's."""
    status: npt.NDArray[np.int8]
    stopped: Ints
    """When they stopped doing anything (NEVER for most)."""
    last_seen: Ints
    has_been_seen: Bools
    profile: npt.NDArray[np.int8]
    updated: Ints


def make_people(seed: int, count: int, as_of: int) -> People:
    """Draw ``count`` people as seen at ``as_of`` (µs)."""
    rng = stream(seed, "people")
    where = places()
    city = where.settle(rng, count)
    created = np.sort(as_of - 2 * HOUR - ((1 - rng.random(count) ** 0.62) * SIGNUP_DAYS * DAY).astype(np.int64))
    created = np.maximum(created, as_of - SIGNUP_DAYS * DAY)
    zones = sorted({where.zone[c] for c in np.unique(city)})
    zone_of = {name: i for i, name in enumerate(zones)}
    zone = np.array([zone_of.get(name, 0) for name in where.zone], np.int64)[city]
    clock = make_clock(zones, as_of - (SIGNUP_DAYS + 7) * DAY, as_of)
    countries: list[str | None] = [*sorted({c for c in where.country if c}), None]
    country = np.array([countries.index(c) for c in where.country], np.int64)[city]
    cultures = sorted(set(where.culture))
    culture = np.array([cultures.index(c) for c in where.culture], np.int64)[city]
    # one in twelve has moved country and kept the name
    moved = rng.random(count) < 0.08
    culture[moved] = culture[rng.integers(0, count, int(moved.sum()))]
    locale, locale_code = _locales(rng, city)
    drive = np.minimum(rng.pareto(1.35, count) + 0.12, 60.0)
    drive /= drive.mean()
    status, stopped, last_seen, seen = _presence(rng, count, created, drive, as_of)
    profile = pick(rng, np.array([72, 22, 6.0]), count).astype(np.int8)
    updated = np.minimum(created + (rng.exponential(120, count) * DAY).astype(np.int64), as_of - MINUTE)
    updated = np.where(status == 0, np.maximum(updated, created), np.minimum(stopped, as_of - MINUTE))
    return People(
        count, clock, city, zone, zones, locale, locale_code, country, countries,
        make_names(rng, cultures, culture), created, drive, rng.normal(0, 1.4, count).clip(-3, 4), status, stopped,
        last_seen, seen, profile, updated,
    )  # fmt: skip


def _locales(rng: np.random.Generator, city: Ints) -> tuple[list[str], Ints]:
    where = places()
    names = sorted({name for options in where.locales for name, _ in options})
    table = np.zeros((len(where.locales), len(names)))
    for row, options in enumerate(where.locales):
        for name, weight in options:
            table[row, names.index(name)] = weight
    table = np.cumsum(table / table.sum(axis=1, keepdims=True), axis=1)
    drawn = rng.random(len(city))
    code = np.empty(len(city), np.int64)
    for row in np.unique(city):
        mine = np.flatnonzero(city == row)
        code[mine] = np.searchsorted(table[row], drawn[mine], side="right")
    return names, np.minimum(code, len(names) - 1)


def _presence(
    rng: np.random.Generator, count: int, created: Ints, drive: Floats, as_of: int
) -> tuple[npt.NDArray[np.int8], Ints, Ints, Bools]:
    status = pick(rng, np.array([96.2, 2.1, 0.6, 1.1]), count).astype(np.int8)
    if count < 20:
        status[:] = 0
    age = as_of - created
    stopped = np.where(status == 0, NEVER, created + (age * rng.uniform(0.3, 0.99, count)).astype(np.int64))
    # days since last seen: most today or yesterday, a sixth long ago
    away = rng.exponential(0.45 + 1.6 / (0.25 + drive), count)
    away = np.where(rng.random(count) < 0.15, rng.exponential(90, count) + 20, away)
    last = as_of - (away * DAY).astype(np.int64) - rng.integers(0, 40 * MINUTE, count) - MINUTE
    last = np.maximum(np.minimum(last, np.where(status == 0, as_of - MINUTE, stopped)), created)
    seen = rng.random(count) > 0.015
    return status, stopped, last, seen


def write_people(world: WorldWriter, seed: int, people: People) -> None:
    """Write ``users`` and a few ``erasure_requests``."""
    rng = stream(seed, "people written")
    n = people.count
    ids = np.arange(1, n + 1)
    friend_list = np.where(rng.random(n) < 0.75, people.profile, pick(rng, np.array([5, 4, 1.0]), n))
    discoverable = rng.random(n) < 0.94
    wants = rng.random(n) < 0.96
    has_mail = rng.random(n) < 0.97
    handle = people.names.handle
    domain = array(["@example.org"]).take(array(np.zeros(n, np.int64)))
    mail = compute.if_else(array(has_mail), compute.binary_join_element_wise(handle, domain, ""), null_text())
    for begin in range(0, n, CHUNK):
        rows = slice(begin, begin + CHUNK)
        take = ids[rows] - 1
        world.write("users", {
            "id": ids[rows], "handle": handle.take(array(take)),
            "display_name": people.names.display.take(array(take)), "email": mail.take(array(take)),
            "time_zone": labels(people.zone[rows], people.zones),
            "locale": labels(people.locale_code[rows], people.locale),
            "country": array(people.countries, pa.string()).take(array(people.country[rows])),
            "status": labels(people.status[rows], STATUSES),
            "profile_visibility": labels(people.profile[rows], VISIBILITIES),
            "friend_list_visibility": labels(friend_list[rows], VISIBILITIES),
            "is_discoverable": discoverable[rows], "wants_recommendations": wants[rows],
            "created_at": people.created[rows], "updated_at": people.updated[rows],
            "last_seen_at": maybe(people.last_seen[rows], people.has_been_seen[rows]),
        })  # fmt: skip
    gone = np.flatnonzero(people.status == 3)
    gone = np.sort(gone[rng.random(len(gone)) < 0.35])
    asked = np.minimum(people.stopped[gone] + rng.integers(0, 2 * DAY, len(gone)), people.clock.as_of - MINUTE)
    world.write("erasure_requests", {"user_id": gone + 1, "requested_at": asked})
