"""Groups and who is in them: schools, employers, interests, clubs, families and places.

Schools, employers, clubs and places belong to a city, interests to a language; popularity within
each kind is Zipf. A person has one school, mostly one employer, a few interests (their own topics
first), some clubs, some places they return to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from store.generator.clock import DAY, HOUR, MINUTE
from store.generator.columns import array, labels, maybe
from store.generator.draws import Adjacency, Bools, Floats, Ints, adjacency, compact, first_of_each, pick, stream
from store.generator.people import NEVER, People
from store.generator.places import load, places
from store.generator.tables import CHUNK, WorldWriter

KINDS = ("group", "interest", "school", "employer", "place")
GROUP, INTEREST, SCHOOL, EMPLOYER, PLACE = range(5)
_PER_CITY = {SCHOOL: 160.0, EMPLOYER: 45.0, GROUP: 28.0, PLACE: 60.0}
"""People of a city per group of the kind."""
_MEMBERSHIPS = {SCHOOL: 0.82, EMPLOYER: 0.74, GROUP: 1.25, PLACE: 0.8, INTEREST: 1.5}
"""Memberships per person."""


@dataclass(frozen=True)
class Groups:
    """Groups (position i has id i + 1) and memberships, with both directions indexed."""

    name: list[str]
    kind: npt.NDArray[np.int8]
    is_private: Bools
    created: Ints
    topic: Ints
    """Interest groups: position in the world's topics; -1 elsewhere."""
    group: Ints
    """Per membership."""
    person: Ints
    joined: Ints
    left: Ints
    by_person: Adjacency
    by_group: Adjacency


def make_groups(seed: int, people: People, topics: list[str], favourites: Ints) -> Groups:
    """Draw the groups and memberships; ``favourites`` is (people, 3) topic positions."""
    rng = stream(seed, "groups")
    names: list[str] = []
    kinds: list[int] = []
    topic: list[int] = []
    parts: list[tuple[Ints, Ints]] = []
    _city_groups(rng, people, names, kinds, topic, parts)
    _interests(rng, people, topics, favourites, names, kinds, topic, parts)
    group = np.concatenate([g for g, _ in parts])
    person = np.concatenate([p for _, p in parts])
    keep = first_of_each(group * people.count + person)
    group, person = group[keep], person[keep]
    kind = np.array(kinds, np.int8)
    private = (rng.random(len(kind)) < 0.3) & (kind == GROUP)
    private |= np.array([name.startswith(("Family ", "Class of ")) for name in names], np.bool_)
    as_of = people.clock.as_of
    member_since = people.created[person] + (rng.random(len(person)) ** 1.7 * (as_of - people.created[person])).astype(
        np.int64
    )
    joined = people.clock.waking(rng, people.zone[person], people.habit[person], member_since)
    joined = np.minimum(np.maximum(joined, people.created[person] + MINUTE), as_of - MINUTE)
    left = np.where(rng.random(len(person)) < 0.06, joined + (rng.exponential(150, len(person)) * DAY).astype(int), 0)
    left = np.where((left > 0) & (left < as_of), left, NEVER)
    created = np.full(len(kind), as_of - 1200 * DAY, np.int64)
    np.minimum.at(created, group, joined - rng.integers(HOUR, 90 * DAY, len(group)))
    first = np.full(len(kind), NEVER, np.int64)
    np.minimum.at(first, group, joined)
    created = np.where(first < NEVER, first - rng.integers(HOUR, 60 * DAY, len(kind)), created)
    return Groups(
        names, kind, private, created, np.array(topic, np.int64), compact(group), compact(person),
        joined, left, adjacency(person, group, people.count), adjacency(group, person, len(kind)),
    )  # fmt: skip


def _city_groups(
    rng: np.random.Generator, people: People, names: list[str], kinds: list[int], topic: list[int],
    parts: list[tuple[Ints, Ints]],
) -> None:  # fmt: skip
    words = load("groups.toml")
    where = places()
    by_city = adjacency(people.city, np.arange(people.count), len(where.city))
    for city in np.flatnonzero(by_city.degree):
        residents = by_city.value[by_city.start[city] : by_city.start[city + 1]]
        for kind, per_group in _PER_CITY.items():
            count = 1 + int(len(residents) / per_group)
            made = _city_names(rng, words, kind, where.city[city], count)
            first = len(names)
            names += made
            kinds += [kind] * count
            topic += [-1] * count
            wanted = rng.poisson(_MEMBERSHIPS[kind] * np.minimum(1.6, people.drive[residents] ** 0.3))
            wanted = np.minimum(wanted, 1 if kind in (SCHOOL, EMPLOYER) else 6)
            who = np.repeat(residents, wanted)
            weights: Floats = np.arange(1, count + 1, dtype=np.float64) ** -0.55
            parts.append((first + pick(rng, weights, len(who)), who))


def _city_names(rng: np.random.Generator, words: dict[str, list[str]], kind: int, city: str, count: int) -> list[str]:
    """Names of one kind in one city, numbered only when the words run out."""
    patterns = words[KINDS[kind]]
    firsts = words[f"{KINDS[kind]}_words"]
    order = rng.permutation(len(patterns) * len(firsts))
    made = []
    for i in range(count):
        code = int(order[i % len(order)])
        name = patterns[code // len(firsts)].format(city=city, word=firsts[code % len(firsts)])
        made.append(name if i < len(order) else f"{name} {i // len(order) + 1}")
    return _distinct(made)


def _distinct(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return made


def _interests(
    rng: np.random.Generator, people: People, topics: list[str], favourites: Ints, names: list[str], kinds: list[int],
    topic: list[int], parts: list[tuple[Ints, Ints]],
) -> None:  # fmt: skip
    words = load("groups.toml")["interest"]
    per_topic = [words.get(name, [name.replace("_", " ").title()]) for name in topics]
    first = np.empty(len(topics), np.int64)
    size = np.array([len(options) for options in per_topic], np.int64)
    for code, options in enumerate(per_topic):
        first[code] = len(names)
        names += options
        kinds += [INTEREST] * len(options)
        topic += [code] * len(options)
    wanted = np.minimum(rng.poisson(_MEMBERSHIPS[INTEREST] * np.minimum(2, people.drive**0.3)), 5)
    who = np.repeat(np.arange(people.count), wanted)
    liked = np.where(rng.random(len(who)) < 0.8, favourites[who, rng.integers(0, 3, len(who))],
                     rng.integers(0, len(topics), len(who)))  # fmt: skip
    parts.append((first[liked] + (rng.random(len(who)) ** 1.6 * size[liked]).astype(np.int64), who))


def write_groups(world: WorldWriter, seed: int, groups: Groups) -> None:
    """Write ``groups`` and ``memberships``."""
    rng = stream(seed, "groups written")
    world.write("groups", {
        "id": np.arange(1, len(groups.name) + 1), "name": array(groups.name), "kind": labels(groups.kind, KINDS),
        "is_private": groups.is_private, "created_at": groups.created,
    })  # fmt: skip
    order = np.lexsort((groups.person, groups.group))
    visits = np.minimum(rng.zipf(1.9, len(order)), 400) + rng.integers(0, 3, len(order))
    weight = np.where(groups.kind[groups.group] == PLACE, visits, 1)[order]
    for begin in range(0, len(order), CHUNK):
        rows = order[begin : begin + CHUNK]
        world.write("memberships", {
            "group_id": groups.group[rows] + 1, "user_id": groups.person[rows] + 1,
            "weight": weight[begin : begin + CHUNK], "joined_at": groups.joined[rows],
            "left_at": maybe(groups.left[rows], groups.left[rows] < NEVER),
        })  # fmt: skip
