"""What people write: which template a row takes, and the words of its slots.

A row of text is (kind, subject, thing): the subject is a (language, topic), the thing what the
thread is about, so that comments speak of what their post spoke of. All choices are mixed from the
row's key: any chunk of rows, in any order, gives the same texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from store.generator.clock import HOUR, weekday
from store.generator.columns import Column, array, compute
from store.generator.draws import Bools, Ints, mix_below
from store.generator.people import People
from store.generator.phrases import Slots, Template, parse, render
from store.generator.places import load, places

LANGUAGES = ("en", "de", "fr", "es", "pt", "it", "ja", "hi")
POST, COMMENT, THANKS, REPLY, QUOTE, GREETING = range(6)
THINGS = 1 << 20
"""Things are drawn below this and folded into the topic's list when rendered."""
_EMOJI_SHARE, _GENERIC_SHARE = 34, 32  # percent


@dataclass(frozen=True)
class Subject:
    """One (language, topic)."""

    language: int
    topic: str
    things: Column
    emoji: Column


@dataclass(frozen=True)
class Book:
    """All templates, and where each kind's lie for each subject."""

    templates: list[Template]
    first: Ints
    """(kind, subject): first template."""
    size: Ints
    """(kind, subject): how many."""
    mention_first: Ints
    """(posts | comments, language)."""
    mention_size: Ints
    subjects: list[Subject]
    topics: list[str]
    subject_of: Ints
    """(language, topic) → subject, -1 where the language has none."""
    when: Column
    weekdays: Column
    language_of: Ints
    topic_of: Ints


@cache
def book() -> Book:
    """Read and parse all of ``data/texts``."""
    texts = {name: load(f"texts/{name}.toml") for name in LANGUAGES}
    topics = list(texts["en"]["topic"])
    templates: list[Template] = []
    subjects: list[Subject] = []
    subject_of = np.full((len(LANGUAGES), len(topics)), -1, np.int64)

    def add(lines: list[str]) -> tuple[int, int]:
        templates.extend(parse(line) for line in lines)
        return len(templates) - len(lines), len(lines)

    ranges: list[list[tuple[int, int]]] = [[] for _ in range(6)]
    mentions = []
    for code, name in enumerate(LANGUAGES):
        text = texts[name]
        shared = {kind: add(text[key]) for kind, key in ((THANKS, "thanks"), (REPLY, "replies"), (QUOTE, "quotes"))}
        common = add(text["comments"])
        mentions.append((add(text["mention_posts"]), add(text["mention_comments"])))
        for topic, words in text["topic"].items():
            subject_of[code, topics.index(topic)] = len(subjects)
            subjects.append(Subject(code, topic, array(words["things"]), array([" " + e for e in words["emoji"]])))
            ranges[POST].append(add(words["posts"]))
            ranges[COMMENT].append(add(words["comments"]))
            ranges[GREETING].append(common)
            for kind, pool in shared.items():
                ranges[kind].append(pool)
    pools, mention_pools = np.array(ranges, np.int64), np.array(mentions, np.int64)
    return Book(
        templates, pools[:, :, 0], pools[:, :, 1],
        mention_pools[:, :, 0].T, mention_pools[:, :, 1].T, subjects, topics, subject_of,
        array([w for name in LANGUAGES for w in texts[name]["when"]]),
        array([w for name in LANGUAGES for w in texts[name]["weekdays"]]),
        np.array([s.language for s in subjects], np.int64),
        np.array([topics.index(s.topic) for s in subjects], np.int64),
    )  # fmt: skip


@dataclass(frozen=True)
class Writing:
    """Rows to be put into words."""

    key: Ints
    kind: Ints
    subject: Ints
    thing: Ints
    author: Ints
    """Who writes."""
    city_of: Ints
    """Whose city the text speaks of: the thread's first author."""
    to: Ints
    """Who is answered (their given name); the author where nobody is."""
    mentioned: Ints
    """Who is mentioned; -1 for nobody."""
    at: Ints
    sibling: Ints
    """How many of the same kind answered the same before it: the next one says something else."""
    about: Ints
    """What is answered."""

    def part(self, rows: Ints) -> Writing:
        """Some of the rows."""
        return Writing(*(getattr(self, name)[rows] for name in Writing.__dataclass_fields__))


def write_texts(seed: int, people: People, rows: Writing) -> Column:
    """The text of each row, safe to stand in a JSON string as it is."""
    pages = book()
    kind, subject = rows.kind, rows.subject
    general = (kind == COMMENT) & (mix_below(seed, "general", rows.key, 100) < _GENERIC_SHARE)
    kind = np.where(general, GREETING, kind)
    first, size = pages.first[kind, subject], pages.size[kind, subject]
    drawn = mix_below(seed, "template", np.where(kind == POST, rows.key, rows.about), 1 << 30)
    which = first + (drawn + np.where(kind == POST, 0, rows.sibling)) % size
    text = render(seed, pages.templates, which, rows.key, _slots(seed, people, rows))
    initial = compute.utf8_upper(compute.utf8_slice_codeunits(text, 0, 1))
    text = compute.binary_join_element_wise(initial, compute.utf8_slice_codeunits(text, 1), "")
    return _with_mentions(seed, people, rows, _with_emoji(seed, rows, text))


def _slots(seed: int, people: People, rows: Writing) -> Slots:
    pages = book()
    local = people.clock.local(people.zone[rows.author], rows.at)
    hour = local % (24 * HOUR) // HOUR
    part_of_day = np.select([(hour >= 4) & (hour < 12), (hour >= 12) & (hour < 18), hour >= 18], [0, 1, 2], 3)
    language = pages.language_of[rows.subject]
    cities = array(places().city)
    day = (weekday(local) + np.where(mix_below(seed, "another day", rows.key, 3) == 0, 2, 0)) % 7

    def thing(inner: Ints) -> Column:
        subjects = rows.subject[inner]
        order = np.argsort(subjects, kind="stable")
        found = []
        for code in np.unique(subjects):
            mine = order[np.searchsorted(subjects[order], code) : np.searchsorted(subjects[order], code, side="right")]
            words = pages.subjects[int(code)].things
            found.append(words.take(array(rows.thing[inner][mine] % len(words))))
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pa.concat_arrays(found).take(array(back)) if found else array([], pa.string())

    return {
        "thing": thing,
        "when": lambda i: pages.when.take(array(language[i] * 4 + part_of_day[i])),
        "weekday": lambda i: pages.weekdays.take(array(language[i] * 7 + day[i])),
        "city": lambda i: cities.take(array(people.city[rows.city_of[i]])),
        "name": lambda i: people.names.given.take(array(rows.to[i])),
        "n": lambda i: array(mix_below(seed, "number", rows.key[i], 22) + 3).cast(pa.string()),
        "mention": lambda i: compute.binary_join_element_wise(
            "@", people.names.handle.take(array(np.maximum(rows.mentioned[i], 0))), ""
        ),
    }


def _with_emoji(seed: int, rows: Writing, text: Column) -> Column:
    wears = np.flatnonzero((rows.kind == POST) & (mix_below(seed, "wears emoji", rows.key, 100) < _EMOJI_SHARE))
    if not len(wears):
        return text
    offsets = np.cumsum([0] + [len(s.emoji) for s in book().subjects])
    pool = pa.concat_arrays([s.emoji for s in book().subjects])
    subject = rows.subject[wears]
    size = offsets[subject + 1] - offsets[subject]
    chosen = pool.take(array(offsets[subject] + mix_below(seed, "emoji", rows.key[wears], size)))
    return _at(text, wears, chosen, suffix=True)


def _with_mentions(seed: int, people: People, rows: Writing, text: Column) -> Column:
    where = np.flatnonzero(rows.mentioned >= 0)
    if not len(where):
        return text
    pages, mine = book(), rows.part(where)
    is_post: Bools = mine.kind == POST
    language, side = pages.language_of[mine.subject], np.where(is_post, 0, 1)
    which = pages.mention_first[side, language] + mix_below(
        seed, "mention", mine.key, pages.mention_size[side, language]
    )
    said = render(seed, pages.templates, which, mine.key, _slots(seed, people, mine))
    after = _at(text, where[is_post], said.filter(array(is_post)), suffix=True)
    return _at(after, where[~is_post], said.filter(array(~is_post)), suffix=False)


def _at(text: Column, where: Ints, added: Column, *, suffix: bool) -> Column:
    """Put ``added`` after (or before) the texts at positions ``where``."""
    if not len(where):
        return text
    mask = np.zeros(len(text), np.bool_)
    mask[where] = True
    old = text.filter(array(mask))
    new = compute.binary_join_element_wise(*((old, added) if suffix else (added, old)), "")
    return compute.replace_with_mask(text, array(mask), new)
