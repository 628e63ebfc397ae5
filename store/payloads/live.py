"""Payloads of the live connection (spec 06.2): each event is one JSON object, told by its ``type``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from store.payloads.base import Count, Instant, Payload


class GenerationChanged(Payload):
    """Another generation is served."""

    type: Literal["generation"]
    generation: str
    as_of: Instant


class FeedChanged(Payload):
    """The user's own feed differs from the one before, in this mode."""

    type: Literal["feed_changed"]
    generation: str
    mode: str
    unseen_count: Count


class Ping(Payload):
    """The connection lives."""

    type: Literal["ping"]


Event = Annotated[GenerationChanged | FeedChanged | Ping, Field(discriminator="type")]
