"""What is withheld of a person's list because of what happened in the source since it was made (spec 06.2).

Lives here: which items of which stored list, and the state it then has. Does not belong here: the rules
(``store.revocations``), or cutting pages (api.pages). What is found for a row is remembered as long as the
same revocations are known, so that a row without a hit costs one look into a byte array.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from store.payloads import COLD_REASONS, DEFAULT_LIMIT
from store.revocations import Held, Item, Revocations
from store.serving import Dataset, Generation, Guards

MAX_ROWS_REMEMBERED: Final = 8_192
MAX_DATASETS_REMEMBERED: Final = 16
MAX_NEWS: Final = 250
MAX_UNREAD: Final = 8
"""Readings of the source after which a row is judged anew rather than held against each."""
_Judge = Callable[[Held | None, Dataset, int, bool], frozenset[int]]


@dataclass(slots=True)
class Withheld:
    """Places of the items of a row that may not be shown, and the state of the list without them."""

    places: frozenset[int]
    state: str | None
    """None: as stored."""
    page: tuple[bytes, str] | None = None
    """The default page without them, as one zstd frame, and its tag: joined at the first request for it."""

    @property
    def is_degraded(self) -> bool:
        """Whether items are withheld because revocations are stale."""
        return self.state == "degraded"

    def touches(self, limit: int = DEFAULT_LIMIT) -> bool:
        """Whether the first ``limit`` items are not simply those stored."""
        return self.state == "degraded" or any(place < limit for place in self.places)


NOTHING: Final = Withheld(frozenset(), None)


@dataclass
class _Remembered:
    """What was found in the rows of one dataset, and by what.

    Facts only come to those known, as a rule: then a row that none of the new ones touches is as it was found.
    """

    held: Held
    judged: bytearray
    """By row: 0 = not yet, else 1 + how many of ``news`` were known."""
    news: list[Held] = field(default_factory=list)
    """What became known since the first row was judged, the oldest first."""
    found: dict[tuple[int, bool], Withheld] = field(default_factory=dict)
    """Of rows with something withheld, plain and degraded."""

    def learn(self, held: Held) -> bool:
        """Whether what was found may stand beside what ``held`` adds; then it is added."""
        if held.follows != self.held.number or held.news is None or len(self.news) >= MAX_NEWS:
            return False
        self.held = held
        self.news.append(held.news)
        return True

    def is_judged(self, dataset: Dataset, row: int) -> bool:
        """Whether what was found of the dataset's row is still true."""
        known, now = self.judged[row], 1 + len(self.news)
        if known in (0, now):
            return known == now
        if now - known > MAX_UNREAD or _touch(dataset, row, self.news[known - 1 :]):
            self.judged[row] = 0
            for is_degraded in (False, True):
                self.found.pop((row, is_degraded), None)
            return False
        self.judged[row] = now
        return True


class Withholding:
    """Judges rows by what ``revocations`` knows now. Remembers what it found, so each thread needs its own."""

    def __init__(self, revocations: Revocations) -> None:
        self._revocations = revocations
        self._memory: dict[tuple[str, str], _Remembered] = {}
        self._kept = 0
        """Rows remembered with something withheld, at most: those found again are counted again."""

    def is_gone(self, generation: Generation, user_id: int) -> bool:
        """Whether a user whom the generation knows is no longer active, or to be erased."""
        held = self._revocations.view(generation.as_of).held
        return held is not None and user_id in held.gone

    def of(self, generation: Generation, dataset: Dataset, row: int) -> Withheld:
        """What is withheld of a row, now. Datasets that nothing revokes: nothing."""
        judge = _JUDGES.get(dataset.name)
        if judge is None:
            return NOTHING
        held, is_degraded = self._revocations.view(dataset.as_of)
        if held is None:
            return _judged(judge, None, dataset, row, is_degraded) if is_degraded else NOTHING
        if held.is_empty and not is_degraded:
            return NOTHING
        remembered = self._remembered(held, generation, dataset)
        if remembered.is_judged(dataset, row):
            found = remembered.found.get((row, is_degraded))
            if found is not None:
                return found
            if not is_degraded and (row, True) not in remembered.found:
                return NOTHING  # clean rows are not kept
        found = _judged(judge, held, dataset, row, is_degraded)
        if found is not NOTHING or (row, True) in remembered.found:
            if self._kept >= MAX_ROWS_REMEMBERED:
                self._forget()
            self._kept += 1
            remembered.found[row, is_degraded] = found
        remembered.judged[row] = 1 + len(remembered.news)
        return found

    def _remembered(self, held: Held, generation: Generation, dataset: Dataset) -> _Remembered:
        key = (generation.id, dataset.name)
        found = self._memory.get(key)
        if found is None or (found.held is not held and not found.learn(held)):
            if len(self._memory) >= MAX_DATASETS_REMEMBERED:
                self._forget()
            found = self._memory[key] = _Remembered(held, bytearray(dataset.rows))
        return found

    def _forget(self) -> None:
        self._memory, self._kept = {}, 0


def _touch(dataset: Dataset, row: int, news: Sequence[Held]) -> bool:
    viewer, ids = dataset.key(row), dataset.guard_ids(row)
    is_of_people = dataset.name == "friend_recommendations"
    return any(each.touching_people(viewer, ids) if is_of_people else each.touching(viewer, ids) for each in news)


def _judged(judge: _Judge, held: Held | None, dataset: Dataset, row: int, is_degraded: bool) -> Withheld:
    places = judge(held, dataset, row, is_degraded)
    if is_degraded:
        return Withheld(places, "degraded")
    return Withheld(places, _state(dataset, row, places)) if places else NOTHING


def _state(dataset: Dataset, row: int, places: frozenset[int]) -> str:
    state = "empty"
    for begin, stop in ((0, DEFAULT_LIMIT), (DEFAULT_LIMIT, None)):  # the page, and only if need be the rest
        for place, item in enumerate(dataset.fragments(row, begin, stop), start=begin):
            if place not in places:
                if _reason(_read(item)) not in COLD_REASONS:
                    return "ready"
                state = "cold_start"
    return state


def _read(item: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(item.decode())  # of bytes it would guess the encoding
    return found


def _reason(item: dict[str, Any]) -> str | None:
    return item.get("reason") or item.get("reason_code")


def _feed(held: Held | None, dataset: Dataset, row: int, is_degraded: bool) -> frozenset[int]:
    viewer, suspects = dataset.key(row), _NOTHING
    if held is not None:
        touching = held.touching(viewer, dataset.guard_ids(row))
        suspects = dataset.guarded_by(row, touching) if touching else _NOTHING
    withheld = {
        place for place, fragment, guards in _items(dataset, row, suspects)
        if held is not None and held.withholds(_item(viewer, _read(fragment), guards))
    }  # fmt: skip
    if is_degraded:
        withheld.update(place for place, guards in enumerate(dataset.guards(row)) if not _is_public(held, guards))
    return frozenset(withheld)


def _friends(held: Held | None, dataset: Dataset, row: int, is_degraded: bool) -> frozenset[int]:
    viewer, suspects = dataset.key(row), _NOTHING
    if held is not None:
        touching = held.touching_people(viewer, dataset.guard_ids(row))
        suspects = dataset.guarded_by(row, touching) if touching else _NOTHING
    candidates = dataset.fragment_keys(row) if suspects else ()
    withheld = {
        place for place in suspects
        if held is not None and held.withholds_recommendation(
            viewer, int(candidates[place]), dataset.guards(row, place, place + 1)[0].users)
    }  # fmt: skip
    if is_degraded:
        items = enumerate(dataset.fragments(row))
        withheld.update(place for place, item in items if not _names_nobody_else(_read(item)))
    return frozenset(withheld)


def _digests(held: Held | None, dataset: Dataset, row: int, is_degraded: bool) -> frozenset[int]:
    """A digest is text about friends: stale revocations withhold every one."""
    if is_degraded or held is None:
        return frozenset(range(dataset.count(row)))
    viewer = dataset.key(row)
    touching = held.touching(viewer, dataset.guard_ids(row))
    suspects = dataset.guarded_by(row, touching) if touching else _NOTHING
    return frozenset(
        place for place in suspects if held.withholds_digest(viewer, *dataset.guards(row, place, place + 1)[0])
    )


_JUDGES: Final[dict[str, _Judge]] = {
    "feed": _feed,
    "feed_chronological": _feed,
    "friend_recommendations": _friends,
    "digests": _digests,
}


_NOTHING: Final[Sequence[int]] = ()


def _items(dataset: Dataset, row: int, places: Sequence[int]) -> Iterator[tuple[int, bytes, Guards]]:
    """The items at ``places`` (ascending): only the part of the row where they lie is read."""
    if places:
        first = places[0]
        fragments = dataset.fragments(row, first, places[-1] + 1)
        for place in places:
            yield place, fragments[place - first], dataset.guards(row, place, place + 1)[0]


def _is_public(held: Held | None, guards: Guards) -> bool:
    """Whether everybody may see a feed item, as far as its generation and the last reading know."""
    is_narrowed = held is not None and not held.narrowed.keys().isdisjoint(guards.objects)
    return guards.circle == () and not guards.groups and not is_narrowed


def _names_nobody_else(item: dict[str, Any]) -> bool:
    return item["reason_code"] in COLD_REASONS and not item["mutual_sample_ids"]


def _item(viewer: int, item: dict[str, Any], guards: Guards) -> Item:
    owner = item["object_owner_id"]
    return Item(
        viewer=viewer,
        verb=item["verb"],
        object_type=item["object_type"],
        object_id=int(item["object_id"]),
        owner=None if owner is None else int(owner),
        actors=_ids([item["lead_actor_id"], *item["sample_actor_ids"]]),
        is_suggested=item["reason"] == "suggested",
        users=guards.users,
        groups=guards.groups,
        objects=guards.objects,
        circle=guards.circle,
    )


def _ids(texts: Iterable[str]) -> frozenset[int]:
    return frozenset(map(int, texts))
