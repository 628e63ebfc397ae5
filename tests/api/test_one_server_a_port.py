"""A port belongs to one server: a second one is refused before it starts anything (06.4)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from api.server import free_port
from store.ports import PortTaken, check_port, claimed_port
from tests.support.api import frames
from tests.support.flowforge import ROOT, child_environment, flowforge
from tests.support.server import api_server
from tests.support.serving import small_generation

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("ports")
    small_generation(home, frames=frames())
    return home


def says_what_to_do(done, port):
    return done.returncode == 1 and all(
        part in done.stderr for part in (f"port {port} of {HOST}", "another process listens there", "--port")
    )


def test_serve_refuses_a_port_that_a_server_of_any_home_has_and_starts_no_tailer(home, tmp_path):
    with api_server(home, workers=2) as server:
        for mode in ("off", "best_effort"):
            again = flowforge("serve", "--port", str(server.port), home=tmp_path, FLOWFORGE_REVOCATIONS__MODE=mode)
            assert says_what_to_do(again, server.port), again.stderr
        assert not (tmp_path / "revocations").exists()
        assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_demo_refuses_a_taken_port_before_it_computes_anything(tmp_path):
    with socket.create_server((HOST, 0)) as somebody:
        port = somebody.getsockname()[1]
        done = flowforge("demo", "--port", str(port), home=tmp_path / "home")
    assert says_what_to_do(done, port), done.stderr
    assert not (tmp_path / "home").exists()


def test_a_listener_on_every_address_takes_the_port_of_each():
    with socket.create_server(("0.0.0.0", 0)) as somebody:
        port = somebody.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} of {HOST}"):
            check_port(HOST, port)


def test_of_two_claims_before_anybody_listens_one_is_refused():
    with claimed_port(HOST, 0) as port:
        with pytest.raises(PortTaken), claimed_port(HOST, port):
            raise AssertionError("claimed twice")
        with socket.create_server((HOST, port), reuse_port=True):
            pass  # a worker of the one that has it
    with claimed_port(HOST, port) as again:
        assert again == port


def test_of_servers_that_start_at_once_on_one_port_one_serves(home, tmp_path):
    port = free_port(HOST)
    command = [sys.executable, "-m", "api.server", "--port", str(port)]
    logs = [tmp_path / f"{n}.log" for n in range(3)]
    started = [_started(command, home, log) for log in logs]
    try:
        for _ in range(600):
            ended = [process for process in started if process.poll() is not None]
            if len(ended) == 2 and _answers(port):
                break
            time.sleep(0.1)
        assert [process.returncode for process in ended] == [1, 1]
        assert sum("another process listens there" in log.read_text() for log in logs) == 2
        assert _answers(port)
    finally:
        for process in started:
            process.terminate()
            process.wait(20)


def test_a_port_is_free_again_at_once_after_its_server_ended(home):
    with api_server(home) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/livez").status_code == 200
        server.stop()
    assert check_port(HOST, server.port) == server.port


def test_two_servers_of_one_home_share_one_tailer_and_it_is_handed_on(tmp_path, fresh_database):
    small_generation(tmp_path, frames=frames())
    settings = {"FLOWFORGE_SOURCE__URL": fresh_database, "FLOWFORGE_REVOCATIONS__POLL_SECONDS": "0.2"}
    ports = [free_port(HOST) for _ in range(2)]
    logs = [tmp_path / f"{port}.log" for port in ports]
    started = []
    try:
        for port, log in zip(ports, logs, strict=True):
            command = [sys.executable, "-m", "pipelines.cli", "serve", "--port", str(port)]
            started.append(_started(command, tmp_path, log, **settings))
            _wait_for(lambda port=port: _answers(port))
            _wait_for((tmp_path / "revocations" / "current.arrow").is_file)
        _wait_for(lambda: "standing by" in logs[1].read_text())
        first = (tmp_path / "revocations" / "tailer.lock").read_text()
        started[0].terminate()
        started[0].wait(20)
        _wait_for(lambda: (tmp_path / "revocations" / "tailer.lock").read_text() not in ("", first))
        assert _answers(ports[1])
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


def _started(command: list[str], home: Path, log: Path, **settings: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            command, cwd=ROOT, env=child_environment(home, settings), stdout=out, stderr=out, start_new_session=True
        )


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://{HOST}:{port}/livez").status_code == 200
    return False


def _wait_for(condition) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come")
