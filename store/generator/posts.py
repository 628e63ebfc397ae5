"""Posts: who posts when about what, in which group, for whom.

The window is the last 60 days. A person posts in proportion to their drive, at their local waking
hours, mostly on the topics they care about, mostly in their own language.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from store.generator.clock import DAY, DAY_OF_WEEK, weekday
from store.generator.draws import Bools, Floats, Ints, pick, stream
from store.generator.groups import GROUP, INTEREST, PLACE, Groups
from store.generator.people import People
from store.generator.texts import LANGUAGES, THINGS, book

WINDOW_DAYS = 60
POSTS_PER_PERSON = 2.4
PUBLIC, FRIENDS, ONLY_ME = range(3)
AUDIENCES = ("public", "friends", "only_me")


@dataclass(frozen=True)
class Tastes:
    """What people like to talk about."""

    favourites: Ints
    """(people, 3) topics."""
    language: Ints
    """The language each writes in."""


@dataclass(frozen=True)
class Posts:
    """Posts in order of time."""

    actor: Ints
    at: Ints
    audience: Ints
    group: Ints
    """-1 outside groups."""
    subject: Ints
    thing: Ints
    appeal: Floats
    """How much a post draws people, heavy-tailed around 1."""


def topic_weights() -> Floats:
    """Some topics are more popular than others."""
    popular = {"cooking": 1.6, "travel": 1.5, "pets": 1.6, "city": 1.4, "work": 1.3, "music": 1.2, "family": 1.2,
               "climbing": 0.5, "language": 0.6, "weather": 0.8, "gaming": 0.8, "tech": 0.9}  # fmt: skip
    return np.array([popular.get(name, 1.0) for name in book().topics])


def make_tastes(seed: int, people: People) -> Tastes:
    """Draw what each person likes and in which language they write."""
    rng = stream(seed, "tastes")
    favourites = pick(rng, topic_weights(), people.count * 3).reshape(people.count, 3)
    spoken = np.array([LANGUAGES.index(name) if name in LANGUAGES else 0 for name in people.locale], np.int64)
    return Tastes(favourites, spoken[people.locale_code])


def make_posts(seed: int, people: People, groups: Groups, tastes: Tastes) -> Posts:
    """Draw the posts of the window."""
    rng = stream(seed, "posts")
    as_of = people.clock.as_of
    begin = as_of - WINDOW_DAYS * DAY
    presence = np.clip((as_of - people.created) / (WINDOW_DAYS * DAY), 0.02, 1.0)
    count = rng.poisson(POSTS_PER_PERSON * people.drive**0.75 / np.mean(people.drive**0.75) * presence)
    actor = np.repeat(np.arange(people.count), count)
    since = np.maximum(begin, people.created[actor])
    day_weights = _busy_days(rng, begin)
    day = begin + pick(rng, day_weights, len(actor)) * DAY + rng.integers(0, DAY, len(actor))
    day = np.where(day < since, since + (rng.random(len(actor)) * (as_of - since)).astype(np.int64), day)
    at = people.clock.waking(rng, people.zone[actor], people.habit[actor], day)
    keep = (at < as_of) & (at > since) & (at < people.stopped[actor])
    actor, at = actor[keep], at[keep]
    order = np.argsort(at, kind="stable")
    actor, at = actor[order], at[order]
    group = _groups(rng, groups, actor, at)
    subject = _subjects(rng, tastes, groups, actor, group)
    audience = pick(rng, np.array([58, 39.5, 2.5]), len(actor))
    audience = np.where((group >= 0) & (audience == ONLY_ME), FRIENDS, audience)
    audience = np.where((people.profile[actor] == 2) & (audience == PUBLIC), FRIENDS, audience)
    appeal = rng.lognormal(-0.6, 1.1, len(actor))
    return Posts(actor, at, audience, group, subject, rng.integers(0, THINGS, len(actor)), appeal)


def _busy_days(rng: np.random.Generator, begin: int) -> Floats:
    days = np.arange(WINDOW_DAYS)
    drift = 1 + 0.1 * np.sin(days / 9) + rng.normal(0, 0.04, WINDOW_DAYS) + days * 0.003
    return np.asarray(drift * DAY_OF_WEEK[weekday(begin + DAY // 2 + days * DAY)])


def _groups(rng: np.random.Generator, groups: Groups, actor: Ints, at: Ints) -> Ints:
    position = groups.by_person.sample(rng, actor)
    if not len(groups.group):
        return np.full(len(actor), -1, np.int64)
    row = groups.by_person.row[position]
    group = groups.group[row]
    fits: Bools = (position >= 0) & (groups.joined[row] < at) & (groups.left[row] > at)
    fits &= (groups.kind[group] != PLACE) & (rng.random(len(actor)) < 0.24)
    fits &= np.isin(groups.kind[group], (GROUP, INTEREST)) | (rng.random(len(actor)) < 0.3)
    return np.where(fits, group, -1)


def _subjects(rng: np.random.Generator, tastes: Tastes, groups: Groups, actor: Ints, group: Ints) -> Ints:
    pages = book()
    topic = np.where(
        rng.random(len(actor)) < 0.68, tastes.favourites[actor, rng.integers(0, 3, len(actor))],
        pick(rng, topic_weights(), len(actor)),
    )  # fmt: skip
    themed = (group >= 0) & (groups.topic[group] >= 0) if len(groups.topic) else np.zeros(len(actor), np.bool_)
    topic = np.where(themed, groups.topic[group] if len(groups.topic) else 0, topic)
    language = np.where(rng.random(len(actor)) < 0.07, 0, tastes.language[actor])
    subject = pages.subject_of[language, topic]
    # a language without this topic: another topic of that language, or English in a themed group
    for code in range(len(LANGUAGES)):
        missing = np.flatnonzero((subject < 0) & (language == code))
        options = np.flatnonzero(pages.subject_of[code] >= 0)
        other = pages.subject_of[code, options[rng.integers(0, len(options), len(missing))]]
        subject[missing] = np.where(themed[missing], pages.subject_of[0, topic[missing]], other)
    return np.asarray(subject, np.int64)
