"""The feed's sort key and the entity tag: what the builder stores and the API compares."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def etag_of(data_json: bytes, state: str) -> str:
    """The 16 hex digits of the weak entity tag: over data and state, so other generations may share it."""
    return hashlib.sha256(data_json + b"\n" + state.encode()).hexdigest()[:16]


def ranked_sort_key(*, is_suggested: bool, score: int, last_activity_at: datetime, item_id: str) -> str:
    """Sort key of a ranked item: 48 bytes, ascending = (suggested last, score desc, time desc, item_id asc)."""
    if not -(1 << 62) < score < 1 << 62:
        raise ValueError(f"score {score} does not fit the sort key")
    return f"{(is_suggested << 63) + (1 << 62) - score:016x}{_newest_first(last_activity_at)}|{item_id}"


def score_of(ranked_key: str) -> int:
    """The score that the sort key of a ranked item was made from."""
    return (1 << 62) - (int(ranked_key[:16], 16) & ~(1 << 63))


def chronological_sort_key(*, last_activity_at: datetime, lead_activity_id: int) -> str:
    """Sort key of a chronological item: 32 bytes, ascending = (time desc, lead_activity_id asc)."""
    return f"{_newest_first(last_activity_at)}|{lead_activity_id:016x}"


def _newest_first(value: datetime) -> str:
    """15 hex digits that fall as time rises; wide enough for every datetime."""
    return f"{(1 << 59) - (value - _EPOCH) // _MICROSECOND:015x}"
