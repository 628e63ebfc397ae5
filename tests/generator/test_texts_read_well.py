"""Posts, comments and notifications are sentences: complete, varied, in many tongues, about their thread."""

from __future__ import annotations

import json
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.generator.phrases import parse, render
from store.generator.places import load
from store.generator.texts import LANGUAGES
from tests.support.worlds_made import table

USERS = 2_000
SLOTS = {"thing", "when", "weekday", "city", "name", "n", "mention"}


def texts() -> list[str]:
    bodies = table("activities", USERS).filter(pl.col("verb").is_in(["post", "comment"]))["body"]
    return [json.loads(body)["text"] for body in bodies]


def test_no_text_is_empty_or_shows_its_grammar() -> None:
    for text in texts() + [json.loads(p)["text"] for p in table("notifications", USERS)["payload"]]:
        assert text.strip() == text
        assert text
        assert not re.search(r"[{}\[\]|]|\bNone\b|\bnull\b|  ", text), text


def test_texts_are_varied() -> None:
    posts = table("activities", USERS).filter(pl.col("verb") == "post")["body"]
    assert posts.n_unique() / posts.len() > 0.8
    assert posts.value_counts()["count"].max() < 12
    comments = table("activities", USERS).filter(pl.col("verb") == "comment")
    assert comments["body"].n_unique() > 1_500
    same_thread = comments.select("object_type", "object_id", "body").is_duplicated().mean()
    assert same_thread < 0.06


def test_scripts_of_the_world_occur() -> None:
    everything = " ".join(texts())
    for script in ("[ぁ-ん]", "[\u0904-\u0939]", "[äöüß]", "[ñ¿¡]", "ç"):
        assert re.search(script, everything)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_template_parses_and_knows_its_slots(language: str) -> None:
    text = load(f"texts/{language}.toml")
    assert len(text["when"]) == 4
    assert len(text["weekdays"]) == 7
    shared = [
        line
        for key in ("comments", "thanks", "replies", "quotes", "mention_posts", "mention_comments")
        for line in text[key]
    ]
    own = [line for topic in text["topic"].values() for key in ("posts", "comments") for line in topic[key]]
    assert all(parse(line).slots <= SLOTS for line in shared + own)
    assert not any("thing" in parse(line).slots for line in shared)
    assert set(text["topic"]) <= set(load("texts/en.toml")["topic"])


def test_comments_speak_of_what_their_post_spoke_of() -> None:
    things = load("texts/en.toml")["topic"]["pets"]["things"]
    rows = table("activities", USERS).with_columns(text=pl.col("body").str.json_path_match("$.text"))
    posts = rows.filter(pl.col("verb") == "post").select(object_id="id", post="text")
    calls = "^(?i)(" + "|".join(things) + ")!!!$"
    comments = rows.filter((pl.col("object_type") == "post") & pl.col("text").str.contains(calls)).join(
        posts, on="object_id"
    )
    assert comments.height > 5
    for comment, post in comments.select("text", "post").iter_rows():
        assert comment.removesuffix("!!!").lower() in post.lower()


def test_notifications_speak_the_recipients_language() -> None:
    users = table("users", USERS).select(recipient_id="id", locale="locale")
    rows = table("notifications", USERS).join(users, on="recipient_id").filter(pl.col("verb") == "reaction")
    for locale, words in (("de", "reagiert"), ("ja", "反応"), ("en", "reacted"), ("pl", "reacted")):
        mine = rows.filter(pl.col("locale") == locale)["payload"]
        assert mine.len() > 0
        assert mine.str.contains(words).all()


def test_a_notification_quotes_the_comment_it_tells_of() -> None:
    rows = table("notifications", USERS).filter(pl.col("verb") == "comment")
    quoted = rows["payload"].str.extract('[“„«「] ?(.+?)…? ?[”“»」]"}$')
    assert quoted.null_count() == 0
    said = " ".join(texts())
    assert all(quote in said for quote in quoted.head(300))


@pytest.mark.parametrize("bad", ['say "hi"', "back\\slash", "line\nbreak", "open [a|b", "stray }"])
def test_a_template_that_json_would_have_to_escape_or_that_is_broken_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"template|unbalanced"):
        parse(bad)


WORDS = st.text(st.characters(categories=["L"], max_codepoint=500), min_size=1, max_size=5)


@given(
    parts=st.lists(st.one_of(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
def test_rendering_takes_one_of_each_alternative_and_keeps_the_rest(parts: list[str | list[str]], seed: int) -> None:
    template = parse("".join(p if isinstance(p, str) else f"[{'|'.join(p)}]" for p in parts))
    rows = np.arange(20)
    made = render(seed, [template], np.zeros(20, np.int64), rows, {}).to_pylist()
    pattern = "".join(re.escape(p) if isinstance(p, str) else "(?:" + "|".join(map(re.escape, p)) + ")" for p in parts)
    assert all(re.fullmatch(pattern, text) for text in made)
    backwards = render(seed, [template], np.zeros(20, np.int64), rows[::-1].copy(), {}).to_pylist()
    assert backwards == made[::-1]
