"""Sentences: one group of a digest, said to its reader in one line, and a digest's subject.

Plain text only; escaping is the templates' work. Names are made safe here, because they also
reach mail headers.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assets.digests.phrases import Language

NAME_LENGTH = 60
EXCERPT_LENGTH = 140
_NOUNS = (
    "comment", "mention", "reaction", "reshare", "friend_request", "friend_add", "group_join", "post",
    "limit_reached", "update",
)  # fmt: skip
"""Nouns of a subject, those first that a person wants to know first when counts are equal."""
_SUBJECT_NOUNS = 3


@dataclass(frozen=True)
class Told:
    """What a sentence needs of a group; names are null where nobody is known by that id."""

    category: str
    verb: str
    object_type: str | None
    reader_id: int
    owner_id: int | None
    owner_name: str | None
    group_name: str | None
    actor_count: int
    actor_ids: Sequence[int]
    actor_names: Sequence[str | None]
    item_count: int
    feature_key: str | None = None
    threshold_percent: int | None = None


def clean(text: str | None, length: int) -> str:
    """One line of printable text of at most ``length`` characters: no controls, no direction marks."""
    if text is not None and text.isascii() and text.isprintable() and len(text) <= length:
        return " ".join(text.split())
    kept = "".join(
        " " if c.isspace() else c
        for c in text or ""
        if c.isspace() or c == "\u200d" or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    )
    line = " ".join(kept.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def isolated(name: str) -> str:
    """A name in a right-to-left script, so fenced that the line around it keeps its direction."""
    if name.isascii() or not any(unicodedata.bidirectional(c) in {"R", "AL"} for c in name):
        return name
    return f"\u2068{name}\u2069"


def _person(name: str | None, language: Language) -> str:
    return isolated(clean(name, NAME_LENGTH)) or language.say("someone")


def _actors(told: Told, language: Language) -> str:
    """`A`, `A and B`, `A and 4 others`: the newest first."""
    names = [_person(name, language) for name in told.actor_names] or [language.say("someone")]
    if told.actor_count == 0:
        return names[0]
    if told.actor_count == 1:
        return names[0]
    if told.actor_count == 2 and len(names) > 1:
        return language.say("actors.two", first=names[0], second=names[1])
    return language.say("actors.many", count=told.actor_count - 1, first=names[0])


def _object(told: Told, language: Language) -> str:
    if told.object_type == "group":
        name = isolated(clean(told.group_name, NAME_LENGTH))
        return language.say("group.named", group=name) if name else language.say("group.any")
    if told.object_type not in {"post", "comment"}:
        return language.say("post.any")
    if told.owner_id == told.reader_id:
        return language.say(f"{told.object_type}.mine")
    if told.actor_count == 1 and list(told.actor_ids) == [told.owner_id]:
        return language.say(f"{told.object_type}.{'any' if told.verb == 'mention' else 'theirs'}")
    owner = isolated(clean(told.owner_name, NAME_LENGTH))
    return language.say(f"{told.object_type}.of", owner=owner) if owner else language.say(f"{told.object_type}.any")


def sentence(told: Told, language: Language) -> str:
    """The group's line, e.g. "Baby Yang and 4 others liked your post"."""
    actors, verb, count = _actors(told, language), told.verb, max(told.actor_count, 1)
    if verb == "limit_reached":
        return _limit(told, language)
    if verb == "friend_add" and told.object_type == "user":
        between_others = told.owner_id not in {told.reader_id, *told.actor_ids} and told.owner_name
        if between_others:
            return language.say("friend_add.of", count, actors=actors, owner=_person(told.owner_name, language))
        return language.say("friend_add", count, actors=actors)
    if verb in {"friend_add", "friend_request"} and told.actor_count:
        return language.say(verb, count, actors=actors)
    if verb == "comment" and told.object_type in {"post", "comment"}:
        key = "comment" if told.object_type == "post" else "reply"
        return language.say(key, count, actors=actors, object=_object(told, language))
    if verb == "post" and told.object_type == "post" and told.owner_id != told.reader_id:
        return language.say("post", count, actors=actors)
    if verb in {"reaction", "reshare"} and told.object_type in {"post", "comment"}:
        return language.say(verb, count, actors=actors, object=_object(told, language))
    if verb == "group_join" and told.object_type == "group":
        return language.say(verb, count, actors=actors, object=_object(told, language))
    if verb == "mention" and told.actor_count:
        if told.object_type in {"post", "comment"}:
            return language.say("mention", count, actors=actors, object=_object(told, language))
        return language.say("mention.bare", count, actors=actors)
    return _update(told, actors, language)


def _limit(told: Told, language: Language) -> str:
    if told.item_count == 1 and told.feature_key is not None and told.threshold_percent is not None:
        feature = clean(told.feature_key.replace("_", " "), NAME_LENGTH)
        return language.say("limit_reached", percent=language.percent(told.threshold_percent), feature=feature)
    return language.say("limit_reached.many", told.item_count)


def _update(told: Told, actors: str, language: Language) -> str:
    topic = language.say(f"topic.{told.category}" if language.has(f"topic.{told.category}") else "topic.product")
    if told.actor_count:
        return language.say("update.by", told.item_count, topic=topic, actors=actors)
    return language.say("update", told.item_count, topic=topic)


def subject(verb_counts: Mapping[str, int], language: Language) -> str:
    """What a digest holds, counted over all its items: "5 reactions and 2 comments"."""
    nouns: Counter[str] = Counter()
    for verb, count in verb_counts.items():
        nouns[verb if verb in _NOUNS else "update"] += count
    ordered = sorted(nouns.items(), key=lambda entry: (-entry[1], _NOUNS.index(entry[0])))
    shown = ordered if len(ordered) <= _SUBJECT_NOUNS else ordered[: _SUBJECT_NOUNS - 1]
    parts = [language.say(f"noun.{noun}", count) for noun, count in shown]
    if rest := sum(count for _, count in ordered[len(shown) :]):
        parts.append(language.say("noun.more", rest))
    return language.join(parts)


def excerpt(body: str | None) -> str:
    """The first line's worth of a post's ``text``, or nothing."""
    try:
        parsed = json.loads(body or "{}")
    except ValueError:
        return ""
    text = parsed.get("text") if isinstance(parsed, dict) else None
    return clean(text, EXCERPT_LENGTH) if isinstance(text, str) else ""
