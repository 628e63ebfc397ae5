"""4.4: the words of a digest, in the reader's language, zone and plural forms; HTML one can read."""

from __future__ import annotations

import re
from datetime import time
from html.parser import HTMLParser

import pytest

from assets.digests.phrases import ENGLISH, PHRASES, language_of
from assets.digests.sentences import Told, clean, excerpt, sentence, subject
from tests.support.digests import Runs, World, at, one, reader

AS_OF = at("2026-05-10T09:10")
YESTERDAY = at("2026-05-09T20:00")


def _told(verb: str = "reaction", **values: object) -> Told:
    base: dict[str, object] = {
        "category": "reaction", "verb": verb, "object_type": "post", "reader_id": 1, "owner_id": 1,
        "owner_name": "Me", "group_name": None, "actor_count": 5, "actor_ids": [2, 3, 4],
        "actor_names": ["Baby Yang", "Tom", "Ada"], "item_count": 5,
    }  # fmt: skip
    return Told(**(base | values))  # type: ignore[arg-type]


def _people(count: int) -> dict[str, object]:
    names = ["Baby Yang", "Tom", "Ada"][:count]
    return {"actor_count": count, "actor_ids": [2, 3, 4][:count], "actor_names": names}


SAID = [
    ("en", _told(), "Baby Yang and 4 others liked your post"),
    ("en", _told(**_people(1)), "Baby Yang liked your post"),
    ("en", _told(**_people(2)), "Baby Yang and Tom liked your post"),
    ("en", _told(actor_count=0, actor_ids=[], actor_names=[]), "Someone liked your post"),
    ("en", _told(actor_count=1234), "Baby Yang and 1,233 others liked your post"),
    ("en", _told("comment"), "Baby Yang and 4 others commented on your post"),
    ("en", _told("comment", object_type="comment"), "Baby Yang and 4 others replied to your comment"),
    ("en", _told("reaction", owner_id=9, owner_name="Eve"), "Baby Yang and 4 others liked a post by Eve"),
    ("en", _told("comment", owner_id=2, **_people(1)), "Baby Yang commented on their own post"),
    ("en", _told("mention", owner_id=2, **_people(1)), "Baby Yang mentioned you in a post"),
    ("en", _told("post", owner_id=2, **_people(1)), "Baby Yang published a new post"),
    ("en", _told("friend_add", object_type="user", owner_id=2, **_people(1)), "Baby Yang is now your friend"),
    ("en", _told("friend_add", object_type="user", owner_id=9, owner_name="Eve", **_people(2)),
     "Baby Yang and Tom are now friends with Eve"),
    ("en", _told("group_join", object_type="group", group_name="Hikers", owner_id=None),
     "Baby Yang and 4 others joined Hikers"),
    ("en", _told("limit_reached", item_count=2, actor_count=0), "You reached 2 usage limits"),
    ("en", _told("renewal", category="billing", actor_count=0, item_count=1), "1 update about your plan"),
    ("en", _told(actor_count=1, actor_ids=[2], actor_names=["علي"]), "\u2068علي\u2069 liked your post"),
    ("de", _told(), "Baby Yang und 4 weitere Personen haben deinen Beitrag mit „Gefällt mir“ markiert"),
    ("de", _told("reshare", actor_count=2, actor_names=["A"]), "A und 1 weitere Person haben deinen Beitrag geteilt"),
    ("de-AT", _told("comment", **_people(1)), "Baby Yang hat deinen Beitrag kommentiert"),
    ("de", _told("reshare", actor_count=1234), "Baby Yang und 1.233 weitere Personen haben deinen Beitrag geteilt"),
    ("tlh", _told(), "Baby Yang and 4 others liked your post"),
]  # fmt: skip


@pytest.mark.parametrize(("locale", "told", "expected"), SAID)
def test_a_group_is_said_in_one_line(locale: str, told: Told, expected: str) -> None:
    assert sentence(told, language_of(locale)) == expected


@pytest.mark.parametrize(
    ("locale", "verbs", "expected"),
    [
        ("en", {"reaction": 5, "comment": 2}, "5 reactions and 2 comments"),
        ("en", {"reaction": 1}, "1 reaction"),
        ("en", {"reaction": 1, "comment": 1}, "1 comment and 1 reaction"),
        ("en", {"reaction": 5, "comment": 4, "friend_add": 3}, "5 reactions, 4 comments, and 3 new friends"),
        ("en", {"reaction": 5, "comment": 4, "friend_add": 3, "x": 2}, "5 reactions, 4 comments, and 5 more"),
        ("en", {"x": 1, "y": 1}, "2 updates"),
        ("de", {"reaction": 5, "comment": 1}, "5 Reaktionen und 1 Kommentar"),
    ],
)
def test_the_subject_counts_what_is_in_it(locale: str, verbs: dict[str, int], expected: str) -> None:
    assert subject(verbs, language_of(locale)) == expected


@pytest.mark.parametrize("locale", ["", "xx", "en_", "../x", "english please", "de_ZZ_x_", "zh-Hant-TW"])
def test_a_language_we_do_not_speak_is_english(locale: str) -> None:
    assert language_of(locale).locale.language in PHRASES


@pytest.mark.parametrize("language", sorted(PHRASES))
def test_every_language_has_every_phrase_with_the_plural_forms_of_its_locale(language: str) -> None:
    phrases = PHRASES[language]
    assert set(phrases) == set(ENGLISH)
    tags = language_of(language).locale.plural_form.tags | {"other"}
    for key, phrase in phrases.items():
        assert isinstance(phrase, str) or set(phrase) == tags, key


def test_names_are_one_safe_line() -> None:
    assert clean("  a\r\nBcc: x@y \t b ", 60) == "a Bcc: x@y b"
    assert clean("\u202eevil\u202c\u0000", 60) == "evil"
    assert clean("x" * 70, 60) == "x" * 59 + "…"
    assert clean(None, 60) == ""


def test_an_excerpt_is_the_text_of_the_body_or_nothing() -> None:
    assert excerpt('{"text": "a  b"}') == "a b"
    for body in (None, "", "[]", "{", '{"text": 1}', '{"other": "x"}'):
        assert excerpt(body) == ""


class _Page(HTMLParser):
    """Tags and attributes of a page, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def _digest(
    locale: str = "en", zone: str = "America/New_York", hour: int = 5, name: str = "Baby Yang"
) -> dict[str, str]:
    world = World()
    reader(world, zone=zone, local_time=time(hour))
    world.tables["staged_users"][0] |= {"locale": locale, "display_name": "Ann <b>"}
    world.user(2, display_name=name)
    post = world.activity(1, body='{"text": "<i>my</i> words & yours"}')
    theirs = world.activity(2, body='{"text": "somebody else"}')
    world.notification(1, YESTERDAY, actor_id=2, object_type="post", object_id=post["id"])
    world.notification(1, YESTERDAY, actor_id=2, object_type="post", object_id=theirs["id"], verb="post")
    tables = Runs().run(world, AS_OF).tables
    return one(tables["digest_bodies"]) | {"subject": one(tables["digests"])["subject"]}


def test_the_page_has_a_language_a_title_and_headings_in_order() -> None:
    page = _Page(_digest()["html"])
    assert page.all("html") == [{"lang": "en", "dir": "ltr"}]
    assert [tag for tag, _ in page.tags if re.fullmatch(r"h\d", tag)] == ["h1", "h2"]
    assert len(page.all("title")) == len(page.all("main")) == 1
    assert {"charset": "utf-8"} in page.all("meta")


def test_the_page_brings_nothing_from_outside_and_no_script() -> None:
    page = _Page(_digest()["html"])
    assert not {"script", "link", "style", "iframe", "object", "img", "a", "form"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") or name in {"src", "href"} for _, attrs in page.tags for name in attrs)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_colour_has_the_contrast_of_wcag_aaa() -> None:
    html = _digest()["html"]
    colours = set(re.findall(r"[;\"]color:(#[0-9a-f]{6})", html))
    assert len(colours) >= 3
    for colour in colours:
        assert (_luminance("#ffffff") + 0.05) / (_luminance(colour) + 0.05) >= 7, colour


def test_names_and_words_are_escaped_and_shown_as_written() -> None:
    body = _digest(name="<script>x</script> & Co")
    assert "<script>" not in body["html"]
    assert "<script>x</script> & Co liked your post" in _Page(body["html"]).text
    assert "“<i>my</i> words & yours”" in _Page(body["html"]).text
    assert "<script>x</script> & Co liked your post" in body["text"]


def test_the_words_of_others_are_not_copied() -> None:
    body = _digest()
    assert "somebody else" not in body["html"] + body["text"]


def test_times_are_those_of_the_readers_zone_and_locale() -> None:
    english = _digest()["text"].replace("\u202f", " ")
    assert "Sunday, May 10, 2026" in english
    assert "Sat, May 9, 4:00 PM" in english
    assert "every day at 5:00 AM (America/New York)" in english
    german = _digest("de-DE", "Europe/Berlin", 11)
    assert "Sonntag, 10. Mai 2026" in german["text"]
    assert "Sa., 9. Mai, 22:00" in german["text"]
    assert 'lang="de-DE"' in german["html"]


def test_subject_and_title_agree_and_the_hash_is_of_the_content() -> None:
    body = _digest()
    assert body["subject"] == "1 reaction and 1 new post"
    assert f"<title>{body['subject']}</title>" in body["html"]
