"""Examples in the document: what every answer looks like, errors too (spec 06.2).

Lives here: putting them beside the shapes that operations name. ``examples.json`` holds one of each shape, those of the
contract. Does not belong here: the shapes (store.payloads).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from api.problems import KINDS, MEDIA_TYPE, TYPE_BASE, Slug, title_of

_SHAPES: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("examples.json").read_bytes())
_TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
_REFERENCE: Final = "#/components/schemas/"
_DETAILS: Final[dict[int, str]] = {
    400: "The cursor was issued for mode=ranked. Start again without a cursor.",
    401: "The token has expired: get a new one.",
    403: "This needs a token with the scope feed:read.",
    404: "There is no user 42.",
    406: "This is available as application/json: change Accept.",
    408: "The body took longer than 10 seconds.",
    413: "The body is larger than 65536 bytes.",
    414: "The URL is longer than 4096 bytes: shorten it.",
    422: "limit: '0' is not accepted: write a whole number from 1 to 100",
    429: "More than 600 requests in 60 seconds: wait 1 s (Retry-After).",
    431: "The headers are larger than 16384 bytes: send fewer.",
    500: "The error is logged under this trace_id; try again, and report the trace_id if it stays.",
    503: "No data have been published yet: ask again after Retry-After seconds.",
}
_SLUGS: Final[dict[int, Slug]] = {status: slug for slug, (status, _) in KINDS.items()}


def problem_example(status: int, detail: str, slug: Slug | None, instance: str = "/v2/me/feed") -> dict[str, Any]:
    """A problem as it is answered; ``slug`` is None for what the status alone tells."""
    return {
        "type": "about:blank" if slug is None else TYPE_BASE + slug,
        "title": title_of(status) if slug is None else KINDS[slug][1],
        "status": status,
        "detail": detail,
        "instance": instance,
        "trace_id": _TRACE,
    }


def add_examples(document: dict[str, Any]) -> None:
    """Give every answer of every operation its example; one that has its own keeps it."""
    named = {name: {"value": value} for name, value in _SHAPES.items()}
    for status, detail in _DETAILS.items():
        value = problem_example(status, detail, _SLUGS.get(status))
        if status == 422:
            name, _, told = detail.partition(": ")
            value["errors"] = [{"pointer": f"#/query/{name}", "detail": told}]
        named[_problem_name(status)] = {"value": value}
    for code, media_type, media in _answers(document):
        shape = media.get("schema", {}).get("$ref", "").removeprefix(_REFERENCE)
        name = _problem_name(int(code)) if media_type == MEDIA_TYPE else shape
        if name in named and "examples" not in media:
            media["examples"] = {"example": {"$ref": f"#/components/examples/{name}"}}
    document["components"]["examples"] = {name: named[name] for name in sorted(named)}


def _problem_name(status: int) -> str:
    return f"Problem{status}"


def _answers(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                for media_type, media in answer.get("content", {}).items():
                    yield status, media_type, media
