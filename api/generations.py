"""Generations: what is kept and served, for operators (spec 06.2)."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Query, Request, Response

from api.conditional import JSON, answer, negotiated, origin_of
from api.parameters import NoParameters
from api.runtime import runtime_of
from store import payloads
from store.payloads import etag_of, instant_text
from store.serving import GenerationEntry


async def generations(request: Request, _query: Annotated[NoParameters, Query()]) -> Response:
    """Every generation that was published and is kept, newest first."""
    negotiated(request, JSON)
    runtime = runtime_of(request)
    entries = await asyncio.to_thread(runtime.generations.entries)
    listed = payloads.GenerationList(data=[_described(e) for e in entries if e.published_at is not None])
    body = listed.model_dump_json().encode()
    current = runtime.generations.current()
    return answer(request, origin_of(current) if current else None, body, etag_of(body, ""))


async def current_generation(request: Request, _query: Annotated[NoParameters, Query()]) -> Response:
    """The generation that is served now."""
    negotiated(request, JSON)
    runtime = runtime_of(request)
    generation = runtime.current()
    status, published_at = runtime.generations.status(generation.id), runtime.generations.published_at(generation.id)
    body = _described(GenerationEntry(generation.info, status, published_at)).model_dump_json().encode()
    return answer(request, origin_of(generation), body, etag_of(body, ""))


def _described(entry: GenerationEntry) -> payloads.Generation:
    info = entry.info
    return payloads.Generation(
        generation=info.id,
        as_of=instant_text(info.as_of),
        status=entry.status,
        published_at=instant_text(entry.published_at or info.as_of),
        code_version=info.code_version,
        config_hash=info.config_hash,
        datasets=[
            payloads.Dataset(
                dataset=dataset.name,
                snapshot_id=dataset.snapshot_id,
                as_of=instant_text(dataset.as_of),
                is_carried_over=dataset.is_carried_over,
                row_count=dataset.rows,
                byte_count=dataset.bytes,
                sha256=dataset.sha256,
            )
            for dataset in info.datasets
        ],
    )
