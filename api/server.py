"""The server: granian with the bounds the API counts on (spec 06.4).

Lives here: how the API is started, and the settings its workers are handed. Does not belong here: the app.
Run as ``python -m api.server``; ``flowforge serve`` does.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from pydantic import BaseModel, SecretStr

from api.counting import COUNTS_FOLDER
from api.keyring import KeyRing, KeysUnusable
from api.logs import logging_config
from store.ports import PortTaken, check_port, claimed_port
from store.settings import Settings, SettingsInvalid, load_settings

HEADER_TIMEOUT_MS: Final = 5_000
MAX_REQUEST_HEAD_BYTES: Final = 64 * 1024
KILL_TIMEOUT_SECONDS: Final = 10
BACKLOG: Final = 1024
HTTP1: Final = HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=MAX_REQUEST_HEAD_BYTES)


def serve(settings: Settings, *, host: str | None = None, port: int | None = None, workers: int | None = None) -> None:
    """Serve the API until SIGTERM or SIGINT; open requests are finished first.

    ``host``, ``port`` and ``workers`` default to ``settings.api``; port 0 takes any free one. A half-sent
    header closes the connection after 5 s, a dead worker is replaced. Raises :class:`store.ports.PortTaken` when
    another process listens on the port.
    """
    address, wanted = host or settings.api.host, settings.api.port if port is None else port
    os.environ |= environment_of(settings)
    with claimed_port(address, wanted) as chosen, _shared_counts(workers or settings.api.workers):
        _load_app()
        Granian(
            "api.app:app_from_environment",
            factory=True,
            address=address,
            port=chosen,
            interface=Interfaces.ASGI,
            workers=workers or settings.api.workers,
            backlog=BACKLOG,
            log_dictconfig=logging_config(settings.api),
            http1_settings=HTTP1,
            respawn_failed_workers=True,
            workers_kill_timeout=KILL_TIMEOUT_SECONDS,
        ).serve()


def _load_app() -> None:
    """Import the app before workers are forked, so that they share the memory of its code and that of its libraries.

    Only modules: whatever belongs to one process (keys, connections, the mapped generation) a worker makes for itself.
    Frozen, because a collection writes into every object that it looks at, and what is written to is shared no more.
    """
    importlib.import_module("api.app")
    gc.collect()
    gc.freeze()


@contextmanager
def _shared_counts(workers: int) -> Iterator[None]:
    """Several workers keep their counts in one temporary folder, so that any of them can tell all (api.instruments)."""
    if workers == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="flowforge-counts-") as folder:
        os.environ[COUNTS_FOLDER] = folder
        yield


def free_port(address: str) -> int:
    """A port that was free a moment ago."""
    return check_port(address, 0)


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment variables that make these settings again, without those that equal their default."""
    return dict(_variables("FLOWFORGE_", settings, Settings()))


def _variables(prefix: str, model: BaseModel, default: BaseModel) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, field in type(model).model_fields.items():
        value, usual = getattr(model, name), getattr(default, name)
        key = prefix + (field.alias or name).upper()
        if isinstance(value, BaseModel):
            found += _variables(key + "__", value, usual)
        elif value != usual and value is not None:
            found.append((key, _text(value)))
    return found


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return json.dumps([_text(v) for v in value])
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value)


def main(arguments: list[str] | None = None) -> None:
    """Serve with the settings of the environment."""
    parser = argparse.ArgumentParser(prog="python -m api.server", description="Serve the FlowForge API.")
    parser.add_argument("--host", default=None)
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--workers", type=int, default=None)
    options: Mapping[str, Any] = vars(parser.parse_args(arguments))
    try:
        settings = load_settings()
    except SettingsInvalid as error:
        parser.error(str(error))
    try:
        KeyRing(settings)  # here, so that a bad setting is said once: workers that fail are started again and again
        serve(settings, **options)
    except (KeysUnusable, PortTaken, OSError, ValueError) as error:
        sys.exit(f"flowforge serve: the API could not be started: {error}")


if __name__ == "__main__":
    main()
