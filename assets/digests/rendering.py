"""Rendering (04.4): built digests as subject, text and HTML, in the reader's language and zone.

HTML is one self-contained page: inline styles, no scripts, no outside assets. What belongs to the
way of delivery (addresses, unsubscribe links, headers) is not here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache

from babel import Locale
from babel.dates import format_date, format_skeleton, format_time
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from assets.digests.phrases import Language
from assets.digests.sentences import NAME_LENGTH, Told, clean, excerpt, sentence, subject
from assets.local_time import wall_clock

_TEMPLATES = Environment(
    loader=PackageLoader("assets.digests"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_HTML = _TEMPLATES.get_template("digest.html")
_TEXT = _TEMPLATES.get_template("digest.txt")


@dataclass(frozen=True)
class Story:
    """One rendered group's facts: what is told, the reader's own words it is about, and when."""

    told: Told
    body: str | None
    last_activity_at: datetime


@dataclass(frozen=True)
class Letter:
    """Everything a digest's reader will see, before it is put into words."""

    reader_name: str | None
    language: Language
    zone: str
    kind: str
    local_time: time
    due: datetime
    more_count: int
    verb_counts: Mapping[str, int]
    stories: Sequence[Story]


@dataclass(frozen=True)
class Rendered:
    """A digest in words; ``group_texts`` in the order of its stories."""

    subject: str
    text: str
    html: str
    group_texts: tuple[str, ...]

    @property
    def content_hash(self) -> str:
        """Sha256 (hex) over subject, text and HTML."""
        return hashlib.sha256("\0".join((self.subject, self.text, self.html)).encode()).hexdigest()


@lru_cache(maxsize=4096)
def _day(day: date, locale: Locale) -> str:
    """``Thu, Nov 25``."""
    return str(format_skeleton("MMMEd", datetime.combine(day, time()), locale=locale))


@lru_cache(maxsize=16384)
def _clock(at: time, locale: Locale) -> str:
    """``9:30 AM``."""
    return str(format_time(at, "short", locale=locale))


def _moment(instant: datetime, letter: Letter) -> str:
    """``Thu, Nov 25, 9:30 AM`` in the reader's zone and locale."""
    shown = wall_clock(letter.zone, instant)
    locale = letter.language.locale
    return f"{_day(shown.date(), locale)}, {_clock(time(shown.hour, shown.minute), locale)}"


def _quoted(story: Story, language: Language) -> str:
    """The reader's own post or comment; other people's words are left where they are."""
    if story.told.owner_id != story.told.reader_id:
        return ""
    words = excerpt(story.body)
    return language.say("quote", text=words) if words else ""


def render(letter: Letter) -> Rendered:
    """Put a letter into words. Pure: the same letter gives the same bytes."""
    language, locale = letter.language, letter.language.locale
    texts = tuple(sentence(story.told, language) for story in letter.stories)
    heading = subject(letter.verb_counts, language)
    values = {
        "lang": language.tag,
        "dir": locale.text_direction,
        "subject": heading,
        "title": language.say(f"title.{letter.kind}"),
        "day": format_date(wall_clock(letter.zone, letter.due).date(), "full", locale=locale),
        "greeting": language.say("greeting", name=clean(letter.reader_name, NAME_LENGTH) or language.say("someone")),
        "intro": language.say("intro", sum(letter.verb_counts.values())),
        "heading": language.say("heading"),
        "groups": [
            {
                "text": text,
                "excerpt": _quoted(story, language),
                "when": _moment(story.last_activity_at, letter),
                "iso": story.last_activity_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for text, story in zip(texts, letter.stories, strict=True)
        ],
        "more": language.say("more", letter.more_count) if letter.more_count else "",
        "why": language.say(
            f"why.{letter.kind}",
            time=_clock(letter.local_time, locale),
            zone=letter.zone.replace("_", " "),
        ),
    }
    return Rendered(heading, _TEXT.render(values), _HTML.render(values), texts)
