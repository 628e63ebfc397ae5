"""What the API's processes log: one line an event, as text or JSON, and one for a sample of requests.

Lives here: the formats, the request's line, the ids that tie lines and answers together. Does not belong here:
counts (api.instruments), spans (api.tracing). A request's line holds no path, query, header, token or user:
only the route's template, a known method, and the kind of principal.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from store.settings import ApiSettings

REQUEST_ID: Final = "flowforge.request_id"
"""Where the id of a request stands in its scope."""

_TRACEPARENT: Final = re.compile(
    rb"^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$"
)
_GIVEN_ID: Final = re.compile(rb"[0-9A-Za-z-]{20,36}")  # ULID, UUID, 128 bits in hex
# Longer than a user id, shorter than any token: what is logged as an id is neither.
METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_LOG: Final = logging.getLogger("flowforge.requests")


class _NewTraces:
    """Trace ids that no other process gives: workers are forked, and each has to begin anew."""

    __slots__ = ("_numbers", "_process")

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._process = secrets.token_hex(8)
        self._numbers = count(secrets.randbits(32))

    def next(self) -> str:
        """Another one: 32 hex digits."""
        return self._process + next(self._numbers).to_bytes(8).hex()


_NEW: Final = _NewTraces()


def trace_id(traceparent: bytes | None) -> str:
    """The W3C trace id of a well-formed ``traceparent`` header, else a new one (32 hex digits)."""
    if traceparent is not None and (match := _TRACEPARENT.match(traceparent)):
        return match[1].decode()
    return _NEW.next()


def request_id(given: bytes | None, trace: str) -> str:
    """The ``X-Request-Id`` that was sent, where it is 20 to 36 letters, digits and dashes; else the trace id."""
    return given.decode() if given is not None and _GIVEN_ID.fullmatch(given) else trace


class RequestLog:
    """Writes the line of a request: of every one that failed on our side, and of one in so many others."""

    __slots__ = ("_left", "_sample")

    def __init__(self, api: ApiSettings) -> None:
        self._sample = self._left = api.log_sample

    def note(self, request: str, method: str, route: str, status: int, seconds: float, role: str) -> None:
        """A request was answered; ``role`` is the kind of principal, ``route`` the path's template."""
        if status < 500:
            self._left -= 1  # a sample of 0 never comes to 0 again: nothing is logged
            if self._left:
                return
            self._left = self._sample
        fields = {
            "request_id": request,
            "method": method if method in METHODS else "OTHER",
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
            "principal": role,
        }
        level = logging.ERROR if status >= 500 else logging.INFO
        _LOG.log(level, "request", extra={"fields": fields})


class TextLines(logging.Formatter):
    """``2026-11-22T14:10:03.000Z INFO flowforge.api message key=value …``."""

    def format(self, record: logging.LogRecord) -> str:
        """One event; a traceback follows on lines of its own."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        said = [_at(record), record.levelname, record.name, record.getMessage()]
        text = " ".join([*said, *(f"{name}={value}" for name, value in fields.items())])
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One event, its traceback included."""
        said = {"at": _at(record), "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        said |= getattr(record, "fields", {})
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def logging_config(api: ApiSettings) -> dict[str, Any]:
    """The configuration of ``logging`` for the server and each of its workers: everything to stderr."""
    lines = JsonLines if api.log_format == "json" else TextLines
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": f"{lines.__module__}.{lines.__qualname__}"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "loggers": {"_granian": {"level": "INFO"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
    }
