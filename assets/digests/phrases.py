"""The words of a digest, per language, with the plural forms of its locale.

A phrase is a text, or one text per CLDR plural category of the number it is asked with; which
category a number has is babel's knowledge. English is the fallback. No names, no dates here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.lists import format_list
from babel.numbers import format_decimal, format_percent

Phrase = str | Mapping[str, str]
FALLBACK = "en"

ENGLISH: Mapping[str, Phrase] = {
    "title.daily": "Your daily digest",
    "title.weekdays": "Your weekday digest",
    "title.weekly": "Your weekly digest",
    "greeting": "Hello {name},",
    "intro": {
        "one": "{count} thing happened that you have not seen yet.",
        "other": "{count} things happened that you have not seen yet.",
    },
    "heading": "What is new",
    "why.daily": "You get this every day at {time} ({zone}) because you chose a daily digest.",
    "why.weekdays": "You get this Monday to Friday at {time} ({zone}) because you chose a weekday digest.",
    "why.weekly": "You get this once a week at {time} ({zone}) because you chose a weekly digest.",
    "more": {"one": "And {count} more notification.", "other": "And {count} more notifications."},
    "quote": "“{text}”",
    "someone": "Someone",
    "actors.two": "{first} and {second}",
    "actors.many": {"one": "{first} and {count} other", "other": "{first} and {count} others"},
    "post.mine": "your post",
    "post.theirs": "their own post",
    "post.of": "a post by {owner}",
    "post.any": "a post",
    "comment.mine": "your comment",
    "comment.theirs": "their own comment",
    "comment.of": "a comment by {owner}",
    "comment.any": "a comment",
    "group.named": "{group}",
    "group.any": "a group",
    "reaction": "{actors} liked {object}",
    "comment": "{actors} commented on {object}",
    "reply": "{actors} replied to {object}",
    "reshare": "{actors} shared {object}",
    "mention": "{actors} mentioned you in {object}",
    "mention.bare": "{actors} mentioned you",
    "post": "{actors} published a new post",
    "friend_add": {"one": "{actors} is now your friend", "other": "{actors} are now your friends"},
    "friend_add.of": {
        "one": "{actors} is now friends with {owner}",
        "other": "{actors} are now friends with {owner}",
    },
    "friend_request": "{actors} sent you a friend request",
    "group_join": "{actors} joined {object}",
    "limit_reached": "You have used {percent} of your {feature} allowance",
    "limit_reached.many": {
        "one": "You reached {count} usage limit",
        "other": "You reached {count} usage limits",
    },
    "update": {"one": "{count} update about {topic}", "other": "{count} updates about {topic}"},
    "update.by": {
        "one": "{count} update about {topic} from {actors}",
        "other": "{count} updates about {topic} from {actors}",
    },
    "topic.social": "your friends",
    "topic.mention": "mentions of you",
    "topic.comment": "comments",
    "topic.reaction": "reactions",
    "topic.group": "your groups",
    "topic.billing": "your plan",
    "topic.security": "the security of your account",
    "topic.product": "FlowForge",
    "noun.reaction": {"one": "{count} reaction", "other": "{count} reactions"},
    "noun.comment": {"one": "{count} comment", "other": "{count} comments"},
    "noun.reshare": {"one": "{count} share", "other": "{count} shares"},
    "noun.mention": {"one": "{count} mention", "other": "{count} mentions"},
    "noun.post": {"one": "{count} new post", "other": "{count} new posts"},
    "noun.friend_add": {"one": "{count} new friend", "other": "{count} new friends"},
    "noun.friend_request": {"one": "{count} friend request", "other": "{count} friend requests"},
    "noun.group_join": {"one": "{count} new group member", "other": "{count} new group members"},
    "noun.limit_reached": {"one": "{count} usage alert", "other": "{count} usage alerts"},
    "noun.update": {"one": "{count} update", "other": "{count} updates"},
    "noun.more": {"one": "{count} more", "other": "{count} more"},
}

GERMAN: Mapping[str, Phrase] = {
    "title.daily": "Deine Tagesübersicht",
    "title.weekdays": "Deine Werktagsübersicht",
    "title.weekly": "Deine Wochenübersicht",
    "greeting": "Hallo {name},",
    "intro": {
        "one": "{count} Sache ist passiert, die du noch nicht gesehen hast.",
        "other": "{count} Dinge sind passiert, die du noch nicht gesehen hast.",
    },
    "heading": "Neuigkeiten",
    "why.daily": "Du bekommst diese Übersicht täglich um {time} ({zone}), weil du sie so gewählt hast.",
    "why.weekdays": "Du bekommst diese Übersicht montags bis freitags um {time} ({zone}), weil du sie so gewählt hast.",
    "why.weekly": "Du bekommst diese Übersicht einmal pro Woche um {time} ({zone}), weil du sie so gewählt hast.",
    "more": {"one": "Und {count} weitere Benachrichtigung.", "other": "Und {count} weitere Benachrichtigungen."},
    "quote": "„{text}“",
    "someone": "Jemand",
    "actors.two": "{first} und {second}",
    "actors.many": {"one": "{first} und {count} weitere Person", "other": "{first} und {count} weitere Personen"},
    "post.mine": "deinen Beitrag",
    "post.theirs": "den eigenen Beitrag",
    "post.of": "einen Beitrag von {owner}",
    "post.any": "einen Beitrag",
    "comment.mine": "deinen Kommentar",
    "comment.theirs": "den eigenen Kommentar",
    "comment.of": "einen Kommentar von {owner}",
    "comment.any": "einen Kommentar",
    "group.named": "{group}",
    "group.any": "eine Gruppe",
    "reaction": {
        "one": "{actors} hat {object} mit „Gefällt mir“ markiert",
        "other": "{actors} haben {object} mit „Gefällt mir“ markiert",
    },
    "comment": {"one": "{actors} hat {object} kommentiert", "other": "{actors} haben {object} kommentiert"},
    "reply": {
        "one": "{actors} hat auf {object} geantwortet",
        "other": "{actors} haben auf {object} geantwortet",
    },
    "reshare": {"one": "{actors} hat {object} geteilt", "other": "{actors} haben {object} geteilt"},
    "mention": {"one": "{actors} hat dich erwähnt", "other": "{actors} haben dich erwähnt"},
    "mention.bare": {"one": "{actors} hat dich erwähnt", "other": "{actors} haben dich erwähnt"},
    "post": {
        "one": "{actors} hat einen neuen Beitrag veröffentlicht",
        "other": "{actors} haben einen neuen Beitrag veröffentlicht",
    },
    "friend_add": {
        "one": "{actors} ist jetzt mit dir befreundet",
        "other": "{actors} sind jetzt mit dir befreundet",
    },
    "friend_add.of": {
        "one": "{actors} ist jetzt mit {owner} befreundet",
        "other": "{actors} sind jetzt mit {owner} befreundet",
    },
    "friend_request": {
        "one": "{actors} hat dir eine Freundschaftsanfrage geschickt",
        "other": "{actors} haben dir eine Freundschaftsanfrage geschickt",
    },
    "group_join": {"one": "{actors} ist jetzt Mitglied: {object}", "other": "{actors} sind jetzt Mitglied: {object}"},
    "limit_reached": "Du hast {percent} deines Kontingents „{feature}“ verbraucht",
    "limit_reached.many": {
        "one": "Du hast {count} Nutzungsgrenze erreicht",
        "other": "Du hast {count} Nutzungsgrenzen erreicht",
    },
    "update": {"one": "{count} Neuigkeit zu {topic}", "other": "{count} Neuigkeiten zu {topic}"},
    "update.by": {
        "one": "{count} Neuigkeit zu {topic} von {actors}",
        "other": "{count} Neuigkeiten zu {topic} von {actors}",
    },
    "topic.social": "deinen Freunden",
    "topic.mention": "Erwähnungen",
    "topic.comment": "Kommentaren",
    "topic.reaction": "Reaktionen",
    "topic.group": "deinen Gruppen",
    "topic.billing": "deinem Tarif",
    "topic.security": "deiner Kontosicherheit",
    "topic.product": "FlowForge",
    "noun.reaction": {"one": "{count} Reaktion", "other": "{count} Reaktionen"},
    "noun.comment": {"one": "{count} Kommentar", "other": "{count} Kommentare"},
    "noun.reshare": {"one": "{count}-mal geteilt", "other": "{count}-mal geteilt"},
    "noun.mention": {"one": "{count} Erwähnung", "other": "{count} Erwähnungen"},
    "noun.post": {"one": "{count} neuer Beitrag", "other": "{count} neue Beiträge"},
    "noun.friend_add": {"one": "{count} neue Freundschaft", "other": "{count} neue Freundschaften"},
    "noun.friend_request": {"one": "{count} Freundschaftsanfrage", "other": "{count} Freundschaftsanfragen"},
    "noun.group_join": {"one": "{count} neues Gruppenmitglied", "other": "{count} neue Gruppenmitglieder"},
    "noun.limit_reached": {"one": "{count} Nutzungshinweis", "other": "{count} Nutzungshinweise"},
    "noun.update": {"one": "{count} Neuigkeit", "other": "{count} Neuigkeiten"},
    "noun.more": {"one": "{count} weitere", "other": "{count} weitere"},
}

PHRASES: Mapping[str, Mapping[str, Phrase]] = {"en": ENGLISH, "de": GERMAN}


@lru_cache(maxsize=65536)
def _number(value: int, locale: Locale) -> str:
    return str(format_decimal(value, locale=locale))


@dataclass(frozen=True)
class Language:
    """One reader's words: the phrases of their language and the formats of their locale."""

    locale: Locale

    @property
    def tag(self) -> str:
        """The BCP 47 tag, for the ``lang`` attribute."""
        return str(self.locale).replace("_", "-")

    def has(self, key: str) -> bool:
        """Whether there is a phrase of this name."""
        return key in ENGLISH

    def say(self, key: str, count: int | None = None, **values: str) -> str:
        """The phrase ``key`` with its values; ``count`` chooses the plural form."""
        phrase = PHRASES[self.locale.language][key]
        if not isinstance(phrase, str):
            phrase = phrase.get(self.locale.plural_form(count or 0), phrase["other"])
        shown = {} if count is None else {"count": _number(count, self.locale)}
        return phrase.format(**shown, **values)

    def percent(self, value: int) -> str:
        """``80`` as the locale writes 80 %."""
        return str(format_percent(value / 100, locale=self.locale))

    def join(self, parts: list[str]) -> str:
        """``a, b and c`` in the locale's way."""
        return str(format_list(parts, locale=self.locale))


@lru_cache(maxsize=1024)
def language_of(locale: str) -> Language:
    """The language of a user's ``locale``: ours if we speak it, else English."""
    try:
        parsed = Locale.parse(locale.strip().replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        return Language(Locale(FALLBACK))
    return Language(parsed if parsed.language in PHRASES else Locale(FALLBACK))
