"""Load scenarios of the API (06.4, 08.5): a spike of 10 ×, idle live connections, slow clients.

``python benchmarks/load_serving.py [--seconds S] [--connections N]`` writes ``docs/load.md``. Open loop: requests are
sent when they are due, whether or not earlier ones were answered. One worker and one client process on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx

from api.auth import demo_token
from api.server import free_port
from benchmarks.bench_serving import server as started
from benchmarks.measure import machine_facts, table
from store.settings import Settings
from tests.support.api import frames
from tests.support.serving import AS_OF, small_generation

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "docs" / "load.md"
STEADY_USERS, GREEDY_USERS, STEADY_RATE = 100, 20, 100
SPIKE = 10
CALM_SECONDS, RECOVERY_SECONDS = 5, 10


@contextlib.contextmanager
def server(home: Path, **settings: str) -> Iterator[tuple[int, int]]:
    """A server with one worker: its port, and the worker's pid. Ends with the block, or after five minutes."""
    port = free_port("127.0.0.1")
    given = {"FLOWFORGE_HOME": str(home)} | settings
    with started(["-m", "api.server", "--port", str(port)], port, given) as pid:
        yield port, max(below(pid), key=memory)


def below(pid: int) -> list[int]:
    """Every process below ``pid``."""
    found = [int(p) for f in Path(f"/proc/{pid}/task").glob("*/children") for p in f.read_text().split()]
    return found + [deeper for child in found for deeper in below(child)]


def memory(pid: int) -> float:
    """Private resident MiB of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kinds = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return (kinds["Private_Clean"] + kinds["Private_Dirty"]) / 1024


@dataclass
class Client:
    """One keep-alive connection that sends when told to, and notes status and seconds of each answer."""

    answers: list[tuple[float, int, float, bool]] = field(default_factory=list)
    """When sent, status, seconds, whether it said Retry-After."""
    waiting: deque[float] = field(default_factory=deque)

    async def connect(self, port: int) -> None:
        """Open, and read in the background."""
        reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.task = asyncio.create_task(self._read(reader))

    def ask(self, path: str, token: str) -> None:
        """Send one request now."""
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nAccept-Encoding: zstd\r\n\r\n"
        self.waiting.append(time.perf_counter())
        self.writer.write(head.encode())

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
            except asyncio.IncompleteReadError:
                return  # the server has ended
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            await reader.readexactly(length)
            sent = self.waiting.popleft()
            self.answers.append((sent, int(head[9:12]), time.perf_counter() - sent, b"retry-after:" in head))


async def open_loop(clients: list[Client], tokens: list[str], rate: float, seconds: float) -> None:
    """``rate`` requests a second for ``seconds``, round robin over clients and users."""
    begun, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - begun) < seconds:
        for number in range(sent, int(now * rate)):
            clients[number % len(clients)].ask("/v2/me/feed", tokens[number % len(tokens)])
            sent = number + 1
        await asyncio.sleep(0.005)


async def spike(port: int, home: Path, seconds: int) -> str:
    """Steady users throughout; greedy ones at ten times their rate in the middle."""
    settings = Settings(home=home)
    steady_tokens = [demo_token(settings, 1000 + n) for n in range(STEADY_USERS)]
    greedy_tokens = [demo_token(settings, 5000 + n) for n in range(GREEDY_USERS)]
    steady, greedy = [Client() for _ in range(8)], [Client() for _ in range(32)]
    for client in steady + greedy:
        await client.connect(port)
    begun = time.perf_counter()
    whole = CALM_SECONDS + seconds + RECOVERY_SECONDS
    background = asyncio.create_task(open_loop(steady, steady_tokens, STEADY_RATE, whole))
    await asyncio.sleep(CALM_SECONDS)
    await open_loop(greedy, greedy_tokens, STEADY_RATE * SPIKE, seconds)
    ended = time.perf_counter()
    await background
    await asyncio.sleep(2)
    calm = [a for c in steady for a in c.answers if a[0] < begun + CALM_SECONDS]
    during = [a for c in steady for a in c.answers if begun + CALM_SECONDS <= a[0] < ended]
    after = [a for c in steady for a in c.answers if a[0] >= ended]
    refused = [a for c in greedy for a in c.answers]
    usual = 3 * percentile(calm, 99)
    late = [sent - ended for sent, status, took, _ in after if status != 200 or took > max(usual, 0.05)]
    everything = [*calm, *during, *after, *refused]
    failed = sum(status >= 500 for _, status, _, _ in everything) + sum(len(c.waiting) for c in steady + greedy)
    bare = sum(status == 429 and not retry for _, status, _, retry in refused)
    groups = {"steady, before": calm, "steady, during": during, "greedy, during": refused, "steady, after": after}
    rows = [[label, f"{len(found):,}", told(found), *times(found)] for label, found in groups.items()]
    recovery = max(late, default=0.0)
    verdict = "holds" if not failed and not bare and recovery <= 5 else "falls short"
    lines = (
        f"## Spike of {SPIKE} ×",
        f"""{STEADY_USERS} users ask {STEADY_RATE} times a second together, all the time; for {seconds} s {GREEDY_USERS}
more ask {STEADY_RATE * SPIKE} times a second, far beyond their limit of 600 in 60 s.""",
        table(["who", "requests", "answers", "p50 ms", "p99 ms"], rows),
        f"""- 5xx or unanswered: {failed}; 429 without Retry-After: {bare}; steady users slow or refused for the last
  time {recovery:.1f} s after the end (goal ≤ 5 s): {verdict}""",
    )
    return "\n\n".join(lines)


def times(answers: list[tuple[float, int, float, bool]]) -> tuple[str, str]:
    """Milliseconds, p50 and p99."""
    return f"{percentile(answers, 50) * 1000:.1f}", f"{percentile(answers, 99) * 1000:.1f}"


def percentile(answers: list[tuple[float, int, float, bool]], which: int) -> float:
    """Seconds; 0 without answers."""
    times = sorted(took for _, _, took, _ in answers)
    return times[min(len(times) - 1, len(times) * which // 100)] if times else 0.0


def told(answers: list[tuple[float, int, float, bool]]) -> str:
    """``200: 5, 429: 7``."""
    return ", ".join(f"{status}: {n:,}" for status, n in sorted(Counter(a[1] for a in answers).items()))


async def idle(port: int, worker: int, home: Path, count: int) -> str:
    """So many live connections: memory, pings, the spread of a hint, and what others notice."""
    settings = Settings(home=home)
    empty = memory(worker)
    heard: list[Counter[str]] = [Counter() for _ in range(count)]
    hinted: list[float] = []

    async def listen(number: int) -> None:
        token = demo_token(settings, 10_000 + number)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((f"GET /v2/live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                      f"Sec-WebSocket-Protocol: flowforge.v2, bearer.{token}\r\n\r\n").encode())  # fmt: skip
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        opened.release()
        while True:
            head = await reader.readexactly(2)
            size = head[1] if head[1] < 126 else int.from_bytes(await reader.readexactly(2), "big")
            text = await reader.readexactly(size)
            kind = "ping" if b'"ping"' in text else "generation" if b'"generation","gen' in text else "other"
            heard[number][kind] += 1
            if kind == "generation":
                hinted.append(time.perf_counter())

    opened = asyncio.Semaphore(0)
    begun, tasks = time.perf_counter(), []
    for at in range(0, count, 100):
        tasks += [asyncio.create_task(listen(n)) for n in range(at, min(at + 100, count))]
        for _ in range(len(tasks) - at):
            await opened.acquire()
    took = time.perf_counter() - begun
    full = memory(worker)
    await asyncio.sleep(31)
    pinged = sum(each["ping"] >= 2 for each in heard)
    await asyncio.to_thread(small_generation, home, AS_OF + timedelta(hours=1), frames=frames())
    flipped = time.perf_counter()
    delays = []
    while time.perf_counter() < flipped + 32:
        sent = time.perf_counter()
        async with httpx.AsyncClient() as client:
            await client.get(f"http://127.0.0.1:{port}/livez")
        delays.append(time.perf_counter() - sent)
        await asyncio.sleep(0.2)
    told_to = sum(each["generation"] == 1 for each in heard)
    spread = [at - flipped for at in hinted]
    lost = sum(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    verdict = "holds" if pinged == told_to == count and not lost else "falls short"
    quarters = ", ".join(str(sum(q * 7.5 <= at < q * 7.5 + 7.5 for at in spread)) for q in range(4))
    return "\n\n".join([
        f"## {count:,} idle live connections on one worker",
        table(["what", "found"], [
            ["connected in", f"{took:.1f} s"],
            ["private memory of the worker, without and with them", f"{empty:.0f} MiB, {full:.0f} MiB"],
            ["a connection", f"{(full - empty) * 1024 / count:.1f} KiB"],
            ["pinged twice in 31 s", f"{pinged:,}"],
            ["told of a new generation, once", f"{told_to:,}"],
            ["hints in each quarter of 30 s", quarters],
            ["a request beside, p50, worst, ms", f"{statistics.median(delays) * 1e3:.1f}, {max(delays) * 1e3:.1f}"],
            ["connections lost", lost]]),
        f"- ≥ 5 000 idle connections a worker: {verdict}"])  # fmt: skip


async def slow(port: int, home: Path) -> str:
    """1 000 clients that never finish their request's head, beside steady ones."""
    tokens = [demo_token(Settings(home=home), 1000 + n) for n in range(STEADY_USERS)]
    writers = []
    for _ in range(1000):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        writers.append((reader, writer))
    clients = [Client() for _ in range(8)]
    for client in clients:
        await client.connect(port)
    await open_loop(clients, tokens, STEADY_RATE, 8)
    await asyncio.sleep(1)
    found = [a for c in clients for a in c.answers]
    closed = sum(reader.at_eof() for reader, _ in writers)
    p50, p99 = times(found)
    lines = (
        "## Slow clients",
        f"""1,000 connections send half a header and stop. Beside them {STEADY_USERS} users ask {STEADY_RATE} times a
second: {told(found)}; p50 {p50} ms, p99 {p99} ms. After 8 s the server has closed {closed:,} of the slow ones.""",
    )
    return "\n\n".join(lines)


SCENARIOS = """# Load

Written by `python benchmarks/load_serving.py`. The named scenarios, and where each is run:

| scenario | where |
|---|---|
| morning peak: hot pages, all checks on | `benchmarks/bench_serving.py` |
| flip under load | `tests/serving`, `tests/api/test_server.py` |
| spike 10 × | below |
| idle live connections | below |
| slow clients | below; `tests/api/test_server_hardship.py` |
| a worker killed, a stop with work in hand | `tests/api/test_server_hardship.py` |
"""


def main() -> None:
    """Run every scenario and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--connections", type=int, default=5000)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="flowforge-load-") as folder:
        home = Path(folder)
        small_generation(home, frames=frames())
        with server(home) as (port, _):
            sections = [asyncio.run(spike(port, home, options.seconds))]
        with server(home) as (port, _):
            sections.append(asyncio.run(slow(port, home)))
        with server(home) as (port, worker):
            sections.append(asyncio.run(idle(port, worker, home, options.connections)))
    text = "\n\n".join([SCENARIOS.strip(), machine_facts("granian", "fastapi"), *sections]) + "\n"
    print(text)
    REPORT.write_text(text)


if __name__ == "__main__":
    main()
