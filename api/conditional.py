"""Answering with bytes: entity tags, 304, Accept, Accept-Encoding, and the headers of every data response.

Lives here: the only place that makes a 200 or 304 of data (spec 06.2). Does not belong here: what the
bytes say.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response

from api.negotiation import best_encoding, best_media_type
from api.problems import ProblemRaised
from store.serving import Dataset, Generation, compressed, decompressed

JSON: Final = "application/json"
VARY: Final = "Accept, Accept-Encoding, Authorization"
_COMPRESS_FROM_BYTES: Final = 1024
RETRY_BUILDING: Final = {"retry-after": "300"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an answer's data come from. A dataset that was carried over is older than its generation."""

    generation: str
    as_of_text: str


def origin_of(generation: Generation, dataset: Dataset | None = None) -> Origin:
    """The origin of what ``dataset`` says, or the generation itself."""
    return Origin(generation.id, (dataset or generation).as_of_text)


def negotiated(request: Request, *offered: str) -> str:
    """The media type to answer with; raises a 406 problem naming those there are."""
    media_type = best_media_type(request.headers.get("accept"), offered)
    if media_type is None:
        raise ProblemRaised("not-acceptable", f"This is available as {' or '.join(offered)}: change Accept.")
    return media_type


def answer(
    request: Request,
    origin: Origin | None,
    body: bytes,
    etag: str,
    *,
    media_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """``body`` in the encoding the client likes best, or 304 when it has it."""
    encoding = best_encoding(request.headers.get("accept-encoding"))
    return _answered(request, _common(origin, etag, headers), etag, media_type, lambda: encoded(body, encoding))


def answer_stored(request: Request, origin: Origin, page: bytes, etag: str) -> Response:
    """A stored page (one zstd frame): as it is for clients that take zstd, else decompressed."""
    encoding = best_encoding(request.headers.get("accept-encoding"))
    return _answered(request, _common(origin, etag, None), etag, JSON, lambda: stored_body(page, encoding))


def stored_body(page: bytes, encoding: str | None) -> tuple[bytes, str | None]:
    """A stored page in the encoding a client likes best, and the encoding it then has."""
    return (page, encoding) if encoding == "zstd" else encoded(decompressed(page), encoding)


def encoded(body: bytes, encoding: str | None) -> tuple[bytes, str | None]:
    """``body`` in that encoding, and the encoding it then has: small bodies are left as they are."""
    if encoding is None or len(body) < _COMPRESS_FROM_BYTES:
        return body, None
    if encoding == "zstd":
        return compressed(body), encoding
    return gzip.compress(body, 1, mtime=0), encoding


def _answered(
    request: Request, headers: dict[str, str], etag: str, media_type: str, body: Callable[[], tuple[bytes, str | None]]
) -> Response:
    if is_fresh(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    content, encoding = body()
    if encoding is not None:
        headers["content-encoding"] = encoding
    return Response(content, headers=headers, media_type=media_type)


def _common(origin: Origin | None, etag: str, headers: Mapping[str, str] | None) -> dict[str, str]:
    common = {"etag": f'W/"{etag}"', "cache-control": "private", "vary": VARY}
    if origin is not None:
        common |= {"x-data-generation": origin.generation, "x-data-as-of": origin.as_of_text}
    return common | dict(headers or {})


def is_fresh(if_none_match: str | None, etag: str) -> bool:
    """Whether If-None-Match names ``etag`` (weak comparison, RFC 9110 13.1.2)."""
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags
