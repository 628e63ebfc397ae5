"""``flowforge revocations``: keep ``HOME/revocations/current.arrow`` true, until it is stopped."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Final

import sqlalchemy as sa
import typer

from pipelines.cli.console import UNAVAILABLE, fail, out
from store.embedded import EmbeddedPostgresError
from store.ledger import Bookkeeper, LedgerAway
from store.pg_binaries import PostgresNotFound
from store.settings import Settings, load_settings
from store.source import embedded_server, first_line
from store.tailer import Tailer, TailerRuns, only_tailer

PARENT_SECONDS: Final = 0.5


def revocations(
    once: Annotated[bool, typer.Option("--once", help="Read the source once, say what was found, and exit.")] = False,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Tail the source for what was taken back, so that reads leave it out.

    Every REVOCATIONS__POLL_SECONDS it looks for blocks, ended friendships, deleted or narrowed activities, left
    private groups, people no longer active or to be erased, and for a person's own hides, mutes, dismissals and
    requests, by the indexed times of the source, which it only reads. Running servers follow the file it
    writes within a second. What was unsubscribed through the API is booked into the ledger meanwhile: that of
    LEDGER__URL, else the home's embedded Postgres, which is started when there is something to book.

    `flowforge serve` starts it by itself, unless REVOCATIONS__MODE is `off`. Run it on its own where servers share
    a home, or copy `HOME/revocations/current.arrow` to theirs. One runs per home. A source that is away is
    asked again; Ctrl-C or SIGTERM stops it.
    """
    settings = load_settings()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = _stopped(parent)
    try:
        with (
            only_tailer(settings.home, wait=None if parent is None else stop),
            _source(settings),
            Bookkeeper(settings) as bookkeeper,
        ):
            tailer = Tailer(settings)
            if once:
                reading = tailer.read()
                out.print(f"✓ {reading.entries} revocation(s) since {reading.since:%Y-%m-%d %H:%M:%S} UTC")
                if booked := bookkeeper.book():
                    out.print(f"✓ {booked} unsubscription(s) booked into the ledger")
            else:
                tailer.run(stop, beside=(bookkeeper.book_or_say,))
    except TailerRuns as error:
        if not stop.is_set():
            fail(str(error))
    except LedgerAway as error:
        fail(str(error), UNAVAILABLE)
    except (sa.exc.SQLAlchemyError, EmbeddedPostgresError, PostgresNotFound, OSError) as error:
        fail(f"the source cannot be read: {first_line(error)}", UNAVAILABLE)


def _stopped(parent: int | None) -> threading.Event:
    """Set by SIGTERM, by Ctrl-C, and when the process that started this one is gone."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if parent is not None:
        threading.Thread(target=_watch, args=(stop, parent), daemon=True).start()
    return stop


def _watch(stop: threading.Event, parent: int) -> None:
    while os.getppid() == parent and not stop.wait(PARENT_SECONDS):
        pass
    stop.set()


@contextmanager
def _source(settings: Settings) -> Iterator[None]:
    """The embedded server up, if that is the source and there is one."""
    is_embedded = settings.source.url is None and (settings.home / "postgres" / "data").is_dir()
    with embedded_server(settings) if is_embedded else nullcontext():
        yield
