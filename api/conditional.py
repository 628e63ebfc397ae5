"""Answering with bytes: entity tags, 304, Accept, Accept-Encoding, and the headers of every data response.

Lives here: the only place that makes a 200 or 304 of data (spec 06.2). Does not belong here: what the
bytes say.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from fastapi import Request, Response

from api.negotiation import best_encoding, best_media_type
from api.problems import ProblemRaised
from store.serving import Dataset, Generation, decompressed

JSON: Final = "application/json"
_COMPRESS_FROM_BYTES: Final = 1024
_ZSTD: Final = pa.Codec("zstd", compression_level=1)
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
    common = _common(origin, etag, headers)
    if _is_fresh(request, etag):
        return Response(status_code=304, headers=common)
    encoding = best_encoding(request.headers.get("accept-encoding")) if len(body) >= _COMPRESS_FROM_BYTES else None
    if encoding is not None:
        common["content-encoding"] = encoding
        body = _ZSTD.compress(body, asbytes=True) if encoding == "zstd" else gzip.compress(body, 1, mtime=0)
    return Response(body, headers=common, media_type=media_type)


def answer_stored(request: Request, origin: Origin, page: bytes, etag: str) -> Response:
    """A stored page (one zstd frame): as it is for clients that take zstd, else decompressed."""
    if best_encoding(request.headers.get("accept-encoding")) != "zstd" or _is_fresh(request, etag):
        return answer(request, origin, decompressed(page), etag)
    common = _common(origin, etag, None)
    common["content-encoding"] = "zstd"
    return Response(page, headers=common, media_type=JSON)


def _common(origin: Origin | None, etag: str, headers: Mapping[str, str] | None) -> dict[str, str]:
    common = {"etag": f'W/"{etag}"', "cache-control": "private", "vary": "Accept, Accept-Encoding, Authorization"}
    if origin is not None:
        common |= {"x-data-generation": origin.generation, "x-data-as-of": origin.as_of_text}
    return common | dict(headers or {})


def _is_fresh(request: Request, etag: str) -> bool:
    """Whether If-None-Match names ``etag`` (weak comparison, RFC 9110 13.1.2)."""
    header = request.headers.get("if-none-match")
    if header is None:
        return False
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
    return etag in tags or "*" in tags
