"""A real server under load while generations are published, rolled back and corrupted beneath it.

``flipped`` runs it and says what readers saw. Every answer is compared with the files of the generation that it
names, so an answer whose body, entity tag and headers do not belong together is found.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import polars as pl

from api.auth import demo_token
from api.server import free_port
from store.generations import pin, rollback, unpin
from store.generations.standing import point
from store.serving import Generation
from store.settings import RetentionSettings, Settings
from tests.support.api import READER, ROOT, frames
from tests.support.serving import AS_OF, small_generation, table

PATHS = {
    "/v2/me/feed": "feed",
    "/v2/me/recommendations/friends": "friend_recommendations",
    "/v2/me/digests": "digests",
    "/v2/me/entitlements": "entitlements",
}
RETAINED = RetentionSettings(generations=6, generation_hours=0)
LIFETIME_SECONDS = 280
VISIBLE_WITHIN = 20.0

Answer = tuple[str, str, int, dict[str, str], bytes]
"""Path, the If-None-Match sent, status, headers, body."""


@dataclass
class Seen:
    """What readers saw."""

    answers: int = 0
    not_modified: int = 0
    failed: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    visible_seconds: list[float] = field(default_factory=list)
    """Per change of the live generation, until every connection was answered from it."""
    opened: set[str] = field(default_factory=set)


@contextmanager
def serving(home: Path, workers: int) -> Iterator[int]:
    """A server of that many workers; its port. Ends with the block, or by itself."""
    port = free_port("127.0.0.1")
    command = [sys.executable, "-m", "api.server", "--port", str(port), "--workers", str(workers)]
    environment = os.environ | {"FLOWFORGE_HOME": str(home), "FLOWFORGE_API__RATE_USER": "60000000/60"}
    process = subprocess.Popen(
        ["timeout", "-k", "5", str(LIFETIME_SECONDS), *command],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


class Reader(threading.Thread):
    """One connection that reads every path in turn, now and then with the entity tag it has."""

    def __init__(self, port: int, token: str) -> None:
        super().__init__(daemon=True)
        self.answers: list[Answer] = []
        self.errors: list[str] = []
        self.generation = ""
        self.is_done = False
        self._port, self._token = port, token

    def run(self) -> None:
        """Until ``is_done``."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        tags: dict[str, str] = {}
        number = 0
        while not self.is_done:
            path = list(PATHS)[number % len(PATHS)]
            tag = tags.get(path, "") if number % 3 == 0 else ""
            number += 1
            headers = {"authorization": f"Bearer {self._token}", "accept-encoding": "zstd"}
            try:
                connection.request("GET", path, headers=headers | ({"if-none-match": tag} if tag else {}))
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                connection.close()
                continue
            told = {name.lower(): value for name, value in response.getheaders()}
            tags[path] = told.get("etag", "")
            self.answers.append((path, tag, response.status, told, body))
            self.generation = told.get("x-data-generation", "")
            time.sleep(0.002)
        connection.close()


class Flipping:
    """A home whose live generation changes under readers."""

    def __init__(self, home: Path, readers: list[Reader]) -> None:
        self.home, self.readers, self.seen = home, readers, Seen()
        self.kept: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.number = 0

    def publish(self, *, is_awaited: bool = True) -> str:
        """The next generation: one item more or less, so that bodies and tags differ from the one before."""
        self.number += 1
        made = frames()
        made["feed_items"] = made["feed_items"].filter(pl.col("position") != 1 + self.number % 7)
        made["digest_history"] = table("digest_history", made["digest_history"].collect().to_dicts()[self.number % 5 :])
        done = small_generation(
            self.home, AS_OF + timedelta(minutes=self.number), frames=made, retention=RETAINED
        ).generation
        self.keep(done)
        if is_awaited:
            self.awaited(done)
        return done

    def keep(self, generation_id: str) -> None:
        """Remember what its files say."""
        generation = Generation.open(self.home / "generations" / generation_id)
        rows = {}
        for path, name in PATHS.items():
            dataset = generation.dataset(name)
            assert dataset is not None
            row = dataset.find(READER)
            assert row is not None
            rows[path] = (dataset.etag(row), dataset.page(row))
        self.kept[generation_id] = rows

    def awaited(self, generation_id: str) -> None:
        """Wait until every connection is answered from it."""
        begun = time.perf_counter()
        while any(reader.generation != generation_id for reader in self.readers):
            if time.perf_counter() - begun > VISIBLE_WITHIN:
                raise AssertionError(f"{generation_id} did not become visible")
            time.sleep(0.001)
        self.seen.visible_seconds.append(time.perf_counter() - begun)
        self.seen.opened.add(generation_id)

    def rolled_back(self) -> None:
        """Go back one, and forward again with the next publication."""
        self.awaited(rollback(self.home))

    def corrupted(self, *, polls: float = 1.0) -> str:
        """Point ``CURRENT`` at a generation of which one byte is wrong, for longer than readers poll, and back."""
        live = pin(self.home)
        bad = self.publish(is_awaited=False)
        path = self.home / "generations" / bad / "feed.arrow"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(bytes(content))
        unpin(self.home)
        point(self.home / "generations", bad)
        time.sleep(polls)
        assert all(reader.generation == live for reader in self.readers)
        point(self.home / "generations", live)
        return bad

    def judged(self) -> Seen:
        """Compare every answer with the files."""
        for reader in self.readers:
            self.seen.failed += reader.errors
            for answer in reader.answers:
                self._judge(*answer)
        return self.seen

    def _judge(self, path: str, tag: str, status: int, headers: dict[str, str], body: bytes) -> None:
        self.seen.answers += 1
        if status not in (200, 304):
            self.seen.failed.append(f"{path}: {status}")
            return
        etag, page = self.kept[headers["x-data-generation"]][path]
        is_whole = headers["etag"] == f'W/"{etag}"' and (
            (body == page and tag != headers["etag"]) if status == 200 else (body == b"" and tag == headers["etag"])
        )
        self.seen.not_modified += status == 304
        if not is_whole:
            self.seen.mixed.append(f"{path}: {status}, {headers}")


def flipped(home: Path, *, flips: int, rollbacks: int, workers: int = 2, connections: int = 6) -> Seen:
    """Publish ``flips`` generations under load, with ``rollbacks`` and a corrupt one among them; what readers saw."""
    first = small_generation(home, frames=frames(), retention=RETAINED).generation
    with serving(home, workers) as port:
        token = demo_token(Settings(home=home), READER)
        readers = [Reader(port, token) for _ in range(connections)]
        flipping = Flipping(home, readers)
        flipping.keep(first)
        up(port)
        for reader in readers:
            reader.start()
        flipping.awaited(first)
        flipping.seen.visible_seconds.clear()
        for number in range(1, flips + 1):
            flipping.publish()
            if number % (flips // rollbacks) == 0:
                flipping.rolled_back()
            if number == flips // 2 + 1:
                bad = flipping.corrupted()
        for reader in readers:
            reader.is_done = True
        for reader in readers:
            reader.join(30)
    seen = flipping.judged()
    assert bad not in seen.opened
    return seen


def up(port: int) -> None:
    """Wait until the server answers."""
    for _ in range(600):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not come up")
