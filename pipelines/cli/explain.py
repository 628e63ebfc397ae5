"""``flowforge explain``: why one person's feed, recommendations, digests and limits are what they are.

Lives here: arguments and printing. What is found out, and how: ``pipelines.explain``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pipelines.cli.console import UNAVAILABLE, fail, out
from pipelines.explain import digests, entitlements, feed, friends
from pipelines.explain.home import CannotExplain, Home, Person, person_of
from pipelines.explain.told import Section, Stage
from store.manifest import CorruptFile
from store.payloads import instant_text
from store.payloads.feed_words import POINTS
from store.payloads.words import SCORE_PARTS, STATES, signed_sum
from store.settings import load_settings

ProductName = Literal["feed", "friends", "digests", "entitlements"]
PRODUCTS: Mapping[ProductName, Callable[[Home, Person], Section | None]] = {
    "feed": feed.section,
    "friends": friends.section,
    "digests": digests.section,
    "entitlements": entitlements.section,
}
TITLES: Mapping[str, str] = {
    "feed": "Feed",
    "friends": "People you may know",
    "digests": "Digests",
    "entitlements": "Plan and limits",
}


def explain(
    user: Annotated[int, typer.Argument(min=0, help="The user's id.")],
    product: Annotated[ProductName | None, typer.Option(help="Only this product.")] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows printed per list; all are in --json.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Why a person's feed, recommendations, digests and limits are what they are.

    Computed again for this one person by the products' own code, from the very tables behind the live
    generation: every item with the parts of its score, and what every rule left out, with a few examples.
    Reads HOME only: no server is needed, nothing is changed.
    """
    try:
        home = Home.open(load_settings())
        person = person_of(home, user)
        wanted = [product] if product else list(PRODUCTS)
        sections = [found for name in wanted if (found := PRODUCTS[name](home, person)) is not None]
    except CannotExplain as error:
        fail(str(error), UNAVAILABLE)
    except CorruptFile as error:
        fail(str(error))
    if as_json:
        out.print_json(json.dumps(_document(home, person, sections), default=instant_text))
        return
    _print_person(home, person)
    for section in sections:
        _print_section(section, rows)


def _document(home: Home, person: Person, sections: list[Section]) -> dict[str, Any]:
    return {
        "generation": home.info.id,
        "as_of": instant_text(home.info.as_of),
        "user": asdict(person),
        "products": {section.product: asdict(section) for section in sections},
    }


def _print_person(home: Home, person: Person) -> None:
    seen = f"last seen {person.last_seen_at:%Y-%m-%d %H:%M} UTC" if person.last_seen_at else "never marked as seen"
    friends_ = f"{person.friend_count} friend{'s' if person.friend_count != 1 else ''}"
    where = ", ".join(part for part in (person.country, person.time_zone) if part)
    told = [
        f"[bold]{escape(person.name)}[/] (user {person.user_id}, @{escape(person.handle)})",
        f"{person.state.replace('_', ' ')}, account {person.status} since {person.created_at:%Y-%m-%d}; {seen}",
        f"{friends_}; {escape(where)}",
        f"[dim]generation {home.info.id}, as of {home.info.as_of:%A %d %B %Y, %H:%M} UTC[/]",
    ]
    out.print(Panel.fit("\n".join(told)))


def _print_section(section: Section, limit: int) -> None:
    means = STATES[section.state]
    out.print(f"\n[bold]{TITLES[section.product]}[/]  {escape(section.summary)}  [dim]{section.state}: {means}[/]")
    for note in section.notes:
        out.print(Text(f"  ! {note}", style="yellow"))
    _PRINTERS[section.product](section, limit)
    if any(stage.rows_in for stage in section.stages):
        out.print(_stages(section.stages))


def _print_feed(section: Section, limit: int) -> None:
    for mode in ("ranked", "chronological"):
        items = [row for row in section.rows if row["mode"] == mode]
        if items and limit:
            out.print(f"\n  [bold]{mode}[/]{_more(len(items), limit)}")
        for row in items[:limit]:
            out.print(_line(row["position"], row["sentence"], f"why: {row['why']}"))
            if mode == "ranked":
                parts = ", ".join(SCORE_PARTS.values())
                out.print(Text(f"      score: {signed_sum(list(row['parts'].values()), row['score'])}", style="dim"))
    if any(row["mode"] == "ranked" for row in section.rows):
        out.print(Text(f"  A score is the sum of: {parts}; 1,000,000 is one doubling (docs/feed.md).", style="dim"))
        out.print(Text(f"  {POINTS}", style="dim"))


def _print_friends(section: Section, limit: int) -> None:
    out.print(_more(len(section.rows), limit).strip(), end="\n" if len(section.rows) > limit else "")
    for row in section.rows[:limit]:
        times = row["impression_count"]
        shown = f", less a tenth for each of {times} times shown: {row['base_score']:,} before" if times else ""
        told = f"score: {row['score']:,}{shown}; proposed by {', '.join(row['sources'])}"
        out.print(_line(row["rank"], f"{row['name']} — {row['why']}", told))


def _print_digests(section: Section, limit: int) -> None:
    for kind in ("stream", "digest"):
        of_kind = [row for row in section.rows if row["type"] == kind]
        for row in of_kind[:limit]:
            head = row["sentence"] if kind == "stream" else f"{row['due_at'][:16].replace('T', ' ')} {row['sentence']}"
            out.print(_line("•", head, f"why: {row['why']}"))


def _print_entitlements(section: Section, limit: int) -> None:
    for row in section.rows[: limit or None]:
        out.print(_line("•", f"{row['feature_key']}: {row['sentence']}", f"why: {row['why']}"))


_PRINTERS: Mapping[str, Callable[[Section, int], None]] = {
    "feed": _print_feed,
    "friends": _print_friends,
    "digests": _print_digests,
    "entitlements": _print_entitlements,
}


def _line(number: object, head: str, below: str) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=5, justify="right", style="dim")
    table.add_column(overflow="fold")
    table.add_row(str(number), Text(head))
    table.add_row("", Text(below, style="dim"))
    return table


def _more(count: int, limit: int) -> str:
    return f"  [dim]the first {limit} of {count}; --rows N shows more[/]" if count > limit else ""


def _stages(stages: tuple[Stage, ...]) -> Table:
    table = Table(
        "what went in", "in", "left out", "why", "for example", box=None, pad_edge=False, padding=(0, 2, 0, 2)
    )
    for column in (1, 2):
        table.columns[column].justify = "right"
    for stage in stages:
        if not stage.rows_in:
            continue
        table.add_row(Text(stage.means), f"{stage.rows_in:,}", "", Text(f"{stage.rows_out:,} go on", style="green"), "")
        for removed in stage.removed:
            why = Text(removed.means).append(f" ({removed.reason})", style="dim")
            table.add_row("", "", f"{removed.count:,}", why, Text("\n".join(removed.examples), style="dim"))
    return table
