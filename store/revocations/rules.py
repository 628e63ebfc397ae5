"""What revocations withhold: the rules of 03.1, 02.3, 02.4 and 04.3 over what a generation knows of an item.

Lives here: judging one item for one viewer. Does not belong here: where the item's facts come from
(``store.serving``), or what is answered instead (``api.withholding``). Where a generation does not tell
enough, the item is withheld.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from store.revocations.entries import LEVELS, OBJECT_TYPES, Columns, Kind

_FRIENDS: Final = LEVELS.index("friends")
_PUBLIC: Final = LEVELS.index("public")
_NOBODY: Final[frozenset[int]] = frozenset()
_Pairs = Mapping[int, frozenset[int]]
_numbers: Final = count()


@dataclass(frozen=True, slots=True)
class Item:
    """A feed item as it is judged. ``circle`` None: its generation does not tell whose friends may see it."""

    viewer: int
    verb: str
    object_type: str
    object_id: int
    owner: int | None
    actors: frozenset[int]
    is_suggested: bool
    users: Iterable[int]
    groups: Iterable[int]
    objects: Iterable[int]
    circle: Iterable[int] | None

    def friends(self) -> frozenset[int]:
        """Everybody whose friendship with the viewer the item may stand on."""
        actors = _NOBODY if self.is_suggested else self.actors
        return actors.union(self.users if self.circle is None else self.circle)


class Narrowed(NamedTuple):
    """An activity's present audiences, as places in ``LEVELS``."""

    actor: int
    audience: int
    object_audience: int


class Held:
    """The entries that hold against data of one ``as_of``, arranged for judging."""

    def __init__(self, columns: Columns, as_of: int, before: Held | None = None) -> None:
        """``as_of`` in µs since 1970; ``before``: what was known of the same data until now."""
        kind, *_, at = columns
        holds = (at > as_of) | (kind == Kind.ERASED)
        self._facts = tuple(np.ascontiguousarray(column[holds]) for column in columns)
        self.number = next(_numbers)
        self.follows: int | None = None
        """The number of the one of which every fact is known here too, if that is the one known before."""
        self.news: Held | None = None
        """What is known here and was not there."""
        if before is not None and (added := self._added_to(before)) is not None:
            self.follows, self.news = before.number, Held(tuple(c[added] for c in self._facts), as_of)
        rows: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for each, *facts in zip(*(column.tolist() for column in self._facts[:4]), strict=True):
            rows[each].append((facts[0], facts[1], facts[2]))
        self.gone = frozenset(a for each in (Kind.GONE, Kind.ERASED) for a, _, _ in rows[each])
        self.deleted = frozenset(a for a, _, _ in rows[Kind.DELETED])
        self.narrowed = {a: Narrowed(b, c // len(LEVELS), c % len(LEVELS)) for a, b, c in rows[Kind.NARROWED]}
        self.blocked = _pairs(rows[Kind.BLOCKED], both_ways=True)
        self.unfriended = _pairs(rows[Kind.UNFRIENDED], both_ways=True)
        self.left = _pairs(rows[Kind.LEFT])
        self.muted = _pairs(rows[Kind.MUTED])
        self.reshares_muted = _pairs(rows[Kind.RESHARES_MUTED])
        self.not_recommended = _pairs(
            [*rows[Kind.DISMISSED], *rows[Kind.REQUESTED], *((b, a, 0) for a, b, _ in rows[Kind.REQUESTED])]
        )
        hidden: dict[int, set[tuple[str, int]]] = defaultdict(set)
        for viewer, object_id, object_type in rows[Kind.HIDDEN]:
            hidden[viewer].add((OBJECT_TYPES[object_type], object_id))
        self.hidden = dict(hidden)
        self.is_empty = self._facts[0].size == 0
        hides = {viewer: frozenset(object_id for _, object_id in each) for viewer, each in hidden.items()}
        self._own = _union(self.blocked, self.unfriended, self.left, self.muted, self.reshares_muted, hides)
        self._own_people = _union(self.blocked, self.unfriended, self.muted, self.not_recommended)
        self._watched = self.gone.union(self.deleted, self.narrowed)
        self._watched_people = self.gone.union(self.blocked, self.unfriended)

    def _added_to(self, before: Held) -> npt.NDArray[np.bool_] | None:
        """Which entries ``before`` lacks; None where it has some that are not here."""
        mine, theirs = (list(zip(*(c.tolist() for c in held._facts[:4]), strict=True)) for held in (self, before))
        known = set(theirs)
        return np.array([fact not in known for fact in mine], dtype=np.bool_) if known.issubset(mine) else None

    def touching(self, viewer: int, guard_ids: Iterable[int]) -> frozenset[int]:
        """Of the ids that guard a feed or digests, those that a fact is about; what no such id guards is untouched."""
        own = self._own.get(viewer, _NOBODY)
        return self._watched.intersection(guard_ids) | (own and own.intersection(guard_ids))

    def touching_people(self, viewer: int, guard_ids: Iterable[int]) -> frozenset[int]:
        """As :meth:`touching`, of recommendations: there a pair of others counts too."""
        own = self._own_people.get(viewer, _NOBODY)
        return self._watched_people.intersection(guard_ids) | (own and own.intersection(guard_ids))

    def withholds(self, item: Item) -> bool:
        """Whether a feed item may not be shown to its viewer any more (03.1)."""
        viewer, people = item.viewer, item.actors if item.owner is None else item.actors | {item.owner}
        if item.object_type == "user":
            people |= {item.object_id}
        return not (
            self.gone.isdisjoint(people)
            and self.deleted.isdisjoint(item.objects)
            and self.blocked.get(viewer, _NOBODY).isdisjoint(item.users)
            and self.unfriended.get(viewer, _NOBODY).isdisjoint(item.friends())
            and self.left.get(viewer, _NOBODY).isdisjoint(item.groups)
            and self.muted.get(viewer, _NOBODY).isdisjoint(people)
            and self._shows_reshare(item)
            and not self._is_hidden(item)
            and self._is_admitted(item)
        )

    def _shows_reshare(self, item: Item) -> bool:
        """Mutes of reshares: on a post's card everybody but its author is there by resharing it, and maybe they too."""
        muted = self.reshares_muted.get(item.viewer)
        if not muted or item.verb not in ("post", "reshare"):
            return True
        others = item.actors - {item.owner}
        reshares = frozenset(item.objects) - {item.object_id}
        is_all_by_others = item.verb == "post" and len(reshares) <= len(others)  # each of them made one at least
        return muted.isdisjoint(others if is_all_by_others else item.actors)

    def _is_hidden(self, item: Item) -> bool:
        """A hide of the object; that of a comment hides the comment's own activity too."""
        hidden = self.hidden.get(item.viewer)
        if not hidden:
            return False
        itself = (("comment", made) for made in item.objects) if item.verb == "comment" else ()
        return (item.object_type, item.object_id) in hidden or not hidden.isdisjoint(itself)

    def _is_admitted(self, item: Item) -> bool:
        """The audiences as they are now, of every activity the item stands on."""
        for activity in item.objects:
            now = self.narrowed.get(activity)
            if now is None:
                continue
            is_own = activity == item.object_id and item.object_type in ("post", "comment")
            if not self._admits(now.audience, now.actor, item):
                return False
            if (not is_own or item.verb == "post") and not self._admits(now.object_audience, item.owner, item):
                return False
        return True

    def _admits(self, audience: int, person: int | None, item: Item) -> bool:
        if audience == _PUBLIC or item.viewer == person:
            return True
        near = (_NOBODY if item.is_suggested else item.actors).union(item.circle or ())
        return audience == _FRIENDS and person in near and person not in self.unfriended.get(item.viewer, _NOBODY)

    def withholds_recommendation(self, viewer: int, candidate: int, users: Iterable[int]) -> bool:
        """Whether a recommendation may not be shown any more: its candidate, or a mutual friend it names."""
        people = frozenset(users) | {candidate}
        for one in (viewer, candidate):
            for pairs in (self.blocked, self.unfriended):
                if not pairs.get(one, _NOBODY).isdisjoint(people):
                    return True
        own = (self.muted, self.not_recommended)
        return not self.gone.isdisjoint(people) or any(candidate in each.get(viewer, _NOBODY) for each in own)

    def withholds_digest(
        self, viewer: int, users: Iterable[int], groups: Iterable[int], objects: Iterable[int],
        circle: Iterable[int] | None,
    ) -> bool:  # fmt: skip
        """Whether a built digest may not be shown any more (04.3): hides and mentions play no part."""
        users = frozenset(users)
        near = users if circle is None else frozenset(circle)
        return not (
            self.gone.isdisjoint(users)
            and self.deleted.isdisjoint(objects)
            and self.blocked.get(viewer, _NOBODY).isdisjoint(users)
            and self.unfriended.get(viewer, _NOBODY).isdisjoint(near)
            and self.left.get(viewer, _NOBODY).isdisjoint(groups)
            and self.muted.get(viewer, _NOBODY).isdisjoint(users)
            and all(
                now.actor == viewer or (now.audience == _FRIENDS and circle is not None and now.actor in near)
                for now in map(self.narrowed.get, objects)
                if now is not None and now.audience != _PUBLIC
            )
        )


def _pairs(rows: Iterable[tuple[int, int, int]], *, both_ways: bool = False) -> _Pairs:
    found: dict[int, set[int]] = defaultdict(set)
    for a, b, _ in rows:
        found[a].add(b)
        if both_ways:
            found[b].add(a)
    return {one: frozenset(others) for one, others in found.items()}


def _union(*each: _Pairs) -> _Pairs:
    found: dict[int, set[int]] = defaultdict(set)
    for pairs in each:
        for one, others in pairs.items():
            found[one] |= others
    return {one: frozenset(others) for one, others in found.items()}
