"""Payloads for operators and monitors, and the problem every error is told by (spec 06.2)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from store.payloads.base import Count, Instant, Payload


class Dataset(Payload):
    """One dataset of a generation."""

    dataset: str
    snapshot_id: str
    as_of: Instant
    is_carried_over: bool
    row_count: Count
    byte_count: Count
    sha256: str


class Generation(Payload):
    """What one generation holds and where it stands."""

    generation: str
    as_of: Instant
    status: Literal["live", "retained", "pinned", "quarantined"]
    published_at: Instant
    code_version: str
    config_hash: str
    datasets: list[Dataset]


class GenerationList(Payload):
    """Every generation kept, newest first."""

    data: list[Generation]


class Ready(Payload):
    """Readiness and the freshness of what is served."""

    status: Literal["ok", "degraded", "unavailable"]
    generation: str | None
    as_of: Instant | None
    data_age_seconds: int | None
    revocations_age_seconds: int | None
    reasons: list[str]


class ProblemError(Payload):
    """One invalid input: where it stands, and what to do."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details; ``errors`` only where single inputs are at fault."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    trace_id: str
    errors: list[ProblemError] = []  # the one optional member of the contract: absent unless inputs are at fault
