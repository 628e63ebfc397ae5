"""Who wants to hear what, where and when: notification preferences and digest schedules.

Three habits: a daily digest, one on weekdays, one a week; some keep two kinds, some none. Schedules
sit mostly on full hours of the owner's wall clock, in the morning or after work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from store.generator.clock import DAY, HOUR, MINUTE
from store.generator.columns import Column, array, labels, maybe
from store.generator.draws import Ints, pick, stream
from store.generator.people import People
from store.generator.tables import CHUNK, WorldWriter

CATEGORIES = ("social", "mention", "comment", "reaction", "group", "billing", "security", "product")
SOCIAL, MENTION, COMMENTS, REACTIONS, GROUPS, BILLING, SECURITY, PRODUCT = range(8)
CHANNELS = ("email", "push", "in_app")
EMAIL, PUSH, IN_APP = range(3)
MODES = ("off", "immediate", "daily", "weekdays", "weekly")
OFF, IMMEDIATE, DAILY, WEEKDAYS, WEEKLY = range(5)
UNSET = -1
_HOURS = np.array([0, 0, 0, 0, 0, 1, 6, 14, 20, 9, 4, 3, 8, 4, 2, 2, 4, 8, 15, 12, 8, 5, 2, 1], np.float64)


@dataclass(frozen=True)
class Preferences:
    """(people, categories, channels) modes; UNSET where there is no row."""

    mode: npt.NDArray[np.int8]
    habit: Ints
    """0 none, else the digest mode."""


def make_preferences(seed: int, people: People) -> Preferences:
    """Draw everybody's preferences."""
    rng = stream(seed, "preferences")
    n = people.count
    habit = np.array([0, DAILY, WEEKDAYS, WEEKLY])[pick(rng, np.array([26, 42, 14, 18.0]), n)]
    mode = np.full((n, len(CATEGORIES), len(CHANNELS)), UNSET, np.int8)
    digests = habit > 0
    for category in (SOCIAL, MENTION, COMMENTS, REACTIONS, GROUPS):
        wants = digests & (rng.random(n) < (0.97 if category in (COMMENTS, REACTIONS) else 0.8))
        mode[wants, category, EMAIL] = habit[wants]
    # reactions once a week for some who hear of the rest every day
    calmer = (habit == DAILY) & (rng.random(n) < 0.12)
    mode[calmer, REACTIONS, EMAIL] = WEEKLY
    for category in (BILLING, PRODUCT):
        wants = digests & (rng.random(n) < 0.22)
        mode[wants, category, EMAIL] = habit[wants]
    has_push = rng.random(n) < 0.42
    for category, share in ((MENTION, 0.85), (COMMENTS, 0.6), (SOCIAL, 0.3)):
        mode[has_push & (rng.random(n) < share), category, PUSH] = IMMEDIATE
    batched = has_push & digests & (rng.random(n) < 0.25)
    mode[batched, REACTIONS, PUSH] = habit[batched]
    inside = digests & (rng.random(n) < 0.16)
    for category in (SOCIAL, REACTIONS, GROUPS):
        mode[inside, category, IN_APP] = habit[inside]
    quiet = ~digests & (rng.random(n) < 0.4)
    mode[quiet, REACTIONS, EMAIL] = OFF
    mode[quiet & (rng.random(n) < 0.5), PRODUCT, EMAIL] = OFF
    return Preferences(mode, habit)


def write_preferences(world: WorldWriter, seed: int, people: People, preferences: Preferences) -> None:
    """Write ``notification_preferences`` and ``digest_schedules``."""
    rng = stream(seed, "preferences written")
    as_of = people.clock.as_of
    person, category, channel = np.nonzero(preferences.mode != UNSET)
    set_at = people.created + (rng.random(people.count) ** 3 * (as_of - MINUTE - people.created)).astype(np.int64)
    for begin in range(0, len(person), CHUNK):
        who, what, where = (column[begin : begin + CHUNK] for column in (person, category, channel))
        world.write("notification_preferences", {
            "user_id": who + 1, "category": labels(what, CATEGORIES), "channel": labels(where, CHANNELS),
            "mode": labels(preferences.mode[who, what, where], MODES), "updated_at": set_at[who],
        })  # fmt: skip
    uses = np.stack([(preferences.mode == mode).any(axis=(1, 2)) for mode in (DAILY, WEEKDAYS, WEEKLY)], axis=1)
    owner, kind = np.nonzero(uses)
    _write_schedules(world, rng, people, owner, kind, set_at)


def _write_schedules(
    world: WorldWriter, rng: np.random.Generator, people: People, owner: Ints, kind: Ints, set_at: Ints
) -> None:
    n, as_of = len(owner), people.clock.as_of
    if not n:
        return
    hour = pick(rng, _HOURS, n)
    minute = np.where(rng.random(n) < 0.84, 0, rng.choice(np.array([15, 30, 30, 30, 45]), n))
    # weekly: the week's edge, Sunday evening to Monday morning, is the favourite
    week_day = np.array([1, 2, 3, 4, 5, 6, 7])[pick(rng, np.array([40, 4, 4, 5, 14, 8, 25.0]), n)]
    is_weekly = kind == 2
    quiet = rng.random(n) < 0.28
    quiet_start = rng.choice(np.array([21, 22, 22, 23]), n) * HOUR
    quiet_end = rng.choice(np.array([6, 7, 7, 8, 9]), n) * HOUR
    paused = rng.random(n) < 0.035
    until = as_of + ((rng.random(n) - 0.4) * 20 * DAY).astype(np.int64)
    world.write("digest_schedules", {
        "user_id": owner + 1, "kind": labels(kind, ("daily", "weekdays", "weekly")),
        "local_time": _time(hour * HOUR + minute * MINUTE, np.ones(n, np.bool_)),
        "week_day": maybe(week_day, is_weekly & (rng.random(n) < 0.9)),
        "quiet_start": _time(quiet_start, quiet), "quiet_end": _time(quiet_end, quiet),
        "min_groups": np.where(rng.random(n) < 0.9, 1, rng.integers(2, 4, n)),
        "max_groups": rng.choice(np.array([5, 10, 10, 10, 20]), n), "enabled_at": set_at[owner],
        "paused_until": maybe(until, paused),
    })  # fmt: skip


def _time(micros: Ints, is_there: npt.NDArray[np.bool_]) -> Column:
    return array(micros, mask=~is_there).cast(pa.time64("us"))
