"""Friendships, formed step by step over three years by a known process.

At each step (18 days) the people present make new friendships in proportion to their drive, the
newly arrived more than others, in four ways: closing a triangle (a friend's friend), meeting in a
school, employer or club, meeting in the same city, and meeting someone well connected anywhere.
Closure and the last way make degrees heavy-tailed and circles dense; who becomes a friend next can
therefore be foretold from what was there before, which is what recommendations are judged on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from store.generator.clock import DAY, MINUTE
from store.generator.columns import maybe
from store.generator.draws import Adjacency, Ints, adjacency, compact, pick, stream
from store.generator.groups import EMPLOYER, GROUP, SCHOOL, Groups
from store.generator.people import NEVER, SIGNUP_DAYS, People
from store.generator.tables import CHUNK, WorldWriter

AVERAGE_DEGREE = 11.3
STEP_DAYS = 18
CLOSURE, CONTEXT, CITY, ANYWHERE = 0.54, 0.27, 0.13, 0.06
ENDED_SHARE = 0.05
FOREIGN_SHARE = 0.3
"""How many of the chances to befriend somebody of another locale are taken."""


@dataclass(frozen=True)
class Friendships:
    """Pairs a < b (positions of people), sorted; ``of`` indexes both directions."""

    a: Ints
    b: Ints
    asker: Ints
    """Which of the two asked."""
    created: Ints
    ended: Ints
    of: Adjacency
    """By person: the friend; ``row % len(a)`` is the friendship."""

    def since(self, position: Ints) -> tuple[Ints, Ints]:
        """Start and end of the friendships at positions of ``of``."""
        row = self.of.row[position] % len(self.a)
        return self.created[row], self.ended[row]


def make_friendships(seed: int, people: People, groups: Groups) -> Friendships:
    """Let friendships form until ``as_of``."""
    rng = stream(seed, "friendships")
    n, as_of = people.count, people.clock.as_of
    steps = SIGNUP_DAYS // STEP_DAYS + 1
    ends = as_of - np.arange(steps - 1, -1, -1) * STEP_DAYS * DAY
    present = np.searchsorted(people.created, ends)
    total = np.ceil(min(AVERAGE_DEGREE * n / 2, 0.35 * n * (n - 1) / 2))
    # every arrival brings a burst, everybody present keeps meeting people
    load = 0.45 * np.diff(present, prepend=0) / max(1, n) + 0.55 * present / max(1, int(present.sum()))
    quota = np.diff(np.round(np.cumsum(load) / load.sum() * total).astype(np.int64), prepend=0)
    keys = np.empty(0, np.int64)
    met: list[tuple[Ints, Ints, Ints, Ints]] = []
    contexts = _contexts(groups, n)
    by_city = adjacency(people.city, np.arange(n), int(people.city.max()) + 1)
    low, high = np.empty(0, np.int64), np.empty(0, np.int64)
    owed = 0
    for step in range(steps):
        m = int(present[step])
        owed += int(quota[step])
        if m < 2 or not owed:
            continue
        circle = adjacency(np.concatenate([low, high]), np.concatenate([high, low]), n)
        asker, other = _propose(rng, people, m, int(ends[step]), owed, circle, contexts, by_city)
        pair = np.minimum(asker, other) * n + np.maximum(asker, other)
        fresh = (asker != other) & (other < m)
        # people mostly befriend who speaks their language
        foreign = people.locale_code[asker] != people.locale_code[other]
        fresh &= ~foreign | (rng.random(len(asker)) < FOREIGN_SHARE)
        at = np.searchsorted(keys, pair)
        fresh &= ~((at < len(keys)) & (keys[np.minimum(at, len(keys) - 1)] == pair)) if len(keys) else True
        chosen = np.flatnonzero(fresh)
        chosen = chosen[np.sort(np.unique(pair[chosen], return_index=True)[1])][:owed]
        owed -= len(chosen)
        keys = np.sort(np.concatenate([keys, pair[chosen]]))
        low = np.concatenate([low, pair[chosen] // n])
        high = np.concatenate([high, pair[chosen] % n])
        met.append((asker[chosen], *_times(rng, people, asker[chosen], other[chosen], int(ends[step]))))
    return _finish(people, low, high, met)


def _contexts(groups: Groups, n: int) -> tuple[Adjacency, Adjacency]:
    """People to their close groups and back: schools, employers and clubs, where people meet."""
    close = np.isin(groups.kind[groups.group], (SCHOOL, EMPLOYER, GROUP))
    person, group = groups.person[close], groups.group[close]
    return adjacency(person, group, n), adjacency(group, person, len(groups.name))


def _propose(
    rng: np.random.Generator, people: People, m: int, end: int, quota: int, circle: Adjacency,
    contexts: tuple[Adjacency, Adjacency], by_city: Adjacency,
) -> tuple[Ints, Ints]:  # fmt: skip
    arrival = np.exp(-(end - people.created[:m]) / (40 * DAY))
    asker = pick(rng, people.drive[:m] ** 0.68 * (1 + 4 * arrival), int(quota * 2.4) + 24)
    way = rng.random(len(asker))
    other = np.full(len(asker), -1, np.int64)
    hop = circle.sample(rng, asker)
    friend = np.where(hop >= 0, circle.value[hop] if len(circle.value) else 0, asker)
    second = circle.sample(rng, friend)
    if len(circle.value):
        other = np.where((way < CLOSURE) & (second >= 0) & (hop >= 0), circle.value[second], other)
    of_person, of_group = contexts
    membership = of_person.sample(rng, asker)
    if len(of_person.value):
        mate = of_group.sample(rng, of_person.value[membership])
        is_context = (other < 0) & (way < CLOSURE + CONTEXT) & (membership >= 0)
        other = np.where(is_context, of_group.value[mate], other)
    neighbour = by_city.sample(rng, people.city[asker])
    other = np.where((other < 0) & (way < CLOSURE + CONTEXT + CITY), by_city.value[neighbour], other)
    anyone = pick(rng, people.drive[:m], len(asker))
    if len(circle.value):
        famous = circle.value[rng.integers(0, len(circle.value), len(asker))]
        anyone = np.where(rng.random(len(asker)) < 0.5, famous, anyone)
    return asker, np.where(other < 0, anyone, other)


def _times(rng: np.random.Generator, people: People, asker: Ints, other: Ints, end: int) -> tuple[Ints, Ints, Ints]:
    begin = np.maximum(end - STEP_DAYS * DAY, np.maximum(people.created[asker], people.created[other]))
    around = begin + (rng.random(len(asker)) * (end - begin)).astype(np.int64)
    created = people.clock.waking(rng, people.zone[asker], people.habit[asker], around)
    created = np.where((created > begin) & (created < end), created, around)
    created = np.minimum(np.maximum(created, begin + MINUTE), people.clock.as_of - MINUTE)
    lasts = (rng.exponential(200, len(asker)) * DAY).astype(np.int64) + 20 * MINUTE
    ended = np.where(rng.random(len(asker)) < ENDED_SHARE, created + lasts, NEVER)
    return other, created, np.where(ended < people.clock.as_of, ended, NEVER)


def _finish(people: People, low: Ints, high: Ints, met: list[tuple[Ints, Ints, Ints, Ints]]) -> Friendships:
    empty = np.empty(0, np.int64)
    asker, _, created, ended = (np.concatenate([m[i] for m in met]) if met else empty for i in range(4))
    order = np.lexsort((high, low))
    low, high, asker, created, ended = low[order], high[order], asker[order], created[order], ended[order]
    of = adjacency(np.concatenate([low, high]), np.concatenate([high, low]), people.count)
    return Friendships(compact(low), compact(high), compact(asker), created, ended, of)


def write_friendships(world: WorldWriter, friends: Friendships) -> None:
    """Write ``friendships``."""
    for begin in range(0, len(friends.a), CHUNK):
        rows = slice(begin, begin + CHUNK)
        world.write("friendships", {
            "user_a_id": friends.a[rows] + 1, "user_b_id": friends.b[rows] + 1, "created_at": friends.created[rows],
            "ended_at": maybe(friends.ended[rows], friends.ended[rows] < NEVER),
        })  # fmt: skip
