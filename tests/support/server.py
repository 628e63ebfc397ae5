"""The API as a real server in a process of its own, on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from api.server import free_port
from tests.support.api import ROOT

LIFETIME_SECONDS = 120


@dataclass(frozen=True)
class Server:
    """Where it listens, who it is, and the file with what it said."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[int]:
        """The pids of its worker processes."""
        (main,) = _children(self.process.pid)
        return [pid for pid in _children(main) if b"resource_tracker" not in _command(pid)]

    def stop(self) -> None:
        """SIGTERM to the server alone, as a supervisor sends it; returns when it has ended."""
        with contextlib.suppress(ValueError, ProcessLookupError):
            (main,) = _children(self.process.pid)
            os.kill(main, signal.SIGTERM)
        self.process.wait(30)


def _children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@contextlib.contextmanager
def api_server(home: Path, *, workers: int = 1, **settings: str) -> Iterator[Server]:
    """A server over ``home`` with ``FLOWFORGE_*`` settings; up, and ended with the block or by itself."""
    port, log = free_port("127.0.0.1"), home / "server.log"
    command = [sys.executable, "-W", "error", "-m", "api.server", "--port", str(port), "--workers", str(workers)]
    environment = os.environ | {"FLOWFORGE_HOME": str(home)} | {f"FLOWFORGE_{k}": v for k, v in settings.items()}
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["timeout", "-k", "5", str(LIFETIME_SECONDS), *command],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(home, port, process, log)
    try:
        _wait_until_up(server)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait_until_up(server: Server) -> None:
    for _ in range(600):
        assert server.process.poll() is None, server.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/livez").status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not come up")
