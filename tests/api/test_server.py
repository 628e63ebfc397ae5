"""The API behind a real server on 127.0.0.1: the wire, slow clients, flips and stopping (spec 06.2, 06.4)."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from api.auth import demo_token
from api.server import environment_of, free_port
from store.payloads import DEFAULT_LIMIT
from store.serving import decompressed
from store.settings import (
    ApiSettings,
    AuthSettings,
    FeedSettings,
    PublicSettings,
    SecretSettings,
    Settings,
    SmtpSettings,
)
from tests.support.api import READER, ROOT, frames
from tests.support.server import api_server
from tests.support.serving import AS_OF, small_generation

LIFETIME_SECONDS = 120


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("server")
    small_generation(home, frames=frames())
    return home


@pytest.fixture(scope="module")
def server(home):
    """A server of its own process; stops with the module, or by itself."""
    port = free_port("127.0.0.1")
    command = [sys.executable, "-W", "error", "-m", "api.server", "--port", str(port)]
    environment = os.environ | {"FLOWFORGE_HOME": str(home)}
    process = subprocess.Popen(
        ["timeout", "-k", "5", str(LIFETIME_SECONDS), *command], cwd=ROOT, env=environment, start_new_session=True
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"accept-encoding": "identity"}) as client:
            wait_until_up(client, process)
            yield client
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def wait_until_up(client, process):
    for _ in range(600):
        assert process.poll() is None, "the server ended"
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server did not come up")


@pytest.fixture(scope="module")
def bearer(home):
    return {"authorization": f"Bearer {demo_token(Settings(home=home), READER)}"}


def test_a_page_over_the_wire(server, bearer):
    response = server.get("/v2/me/feed", headers=bearer)
    assert response.status_code == 200
    assert len(response.json()["data"]) == DEFAULT_LIMIT
    again = server.get("/v2/me/feed", headers=bearer | {"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert server.get("/v2/me/feed").status_code == 401
    assert server.get("/v2/me/feed?x=1", headers=bearer).status_code == 422


def test_a_stored_page_travels_as_it_is_stored(server, bearer, home):
    with server.stream("GET", "/v2/me/feed", headers=bearer | {"accept-encoding": "zstd"}) as response:
        raw = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "zstd"
    assert decompressed(raw) == server.get("/v2/me/feed", headers=bearer).content


def test_head_and_options_over_the_wire(server, bearer):
    head = server.head("/v2/me/feed", headers=bearer)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 1000
    assert server.options("/v2/me/feed").headers["allow"] == "GET, HEAD, OPTIONS"


def test_too_long_a_url_is_a_problem_over_the_wire(server, bearer):
    response = server.get("/v2/me/feed?" + "a" * 5000, headers=bearer)
    assert (response.status_code, response.headers["content-type"]) == (414, "application/problem+json")
    large = server.get("/v2/me/feed", headers=bearer | {"x-filler": "x" * 20_000})
    assert (large.status_code, large.headers["content-type"]) == (431, "application/problem+json")


def test_megabytes_of_headers_are_not_accepted(server):
    with socket.create_connection((server.base_url.host, server.base_url.port), timeout=20) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        refused = False
        try:
            for n in range(200):
                connection.sendall(b"X-%d: " % n + b"x" * 10_000 + b"\r\n")
            connection.sendall(b"\r\n")
            refused = not connection.recv(100).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            refused = True
        assert refused


def test_a_half_sent_header_does_not_hold_a_connection(server):
    # the connection's timeout is the bound: a server that never closes it fails the test
    with socket.create_connection((server.base_url.host, server.base_url.port), timeout=30) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        with contextlib.suppress(ConnectionError):
            while connection.recv(4096):
                pass


def test_a_new_generation_is_taken_up_while_serving(server, bearer, home):
    first = server.get("/v2/me/feed", headers=bearer).json()["generation"]
    second = small_generation(home, AS_OF + timedelta(hours=1), frames=frames()).generation
    seen = []
    for _ in range(600):
        response = server.get("/v2/me/feed", headers=bearer)
        assert response.status_code == 200
        assert response.headers["x-data-generation"] == response.json()["generation"]
        seen.append(response.json()["generation"])
        if seen[-1] == second:
            break
    assert set(seen) <= {first, second}
    assert seen[-1] == second
    assert seen == sorted(seen), "never back and forth"


def test_the_docs_are_served_over_the_wire(server):
    assert server.get("/openapi.json").json()["openapi"] == "3.1.0"
    assert "swagger-ui" in server.get("/docs").text


def test_workers_share_the_memory_of_what_they_import(home):
    with api_server(home, workers=2) as running:
        for worker in running.workers():
            told = Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines()[1:]
            kib = {line.split(":")[0]: int(line.split()[1]) for line in told}
            assert kib["Private_Clean"] + kib["Private_Dirty"] < kib["Rss"] / 2


def test_settings_reach_the_workers_by_the_environment(tmp_path, monkeypatch):
    settings = Settings(
        home=tmp_path,
        env="test",
        auth=AuthSettings(issuer="me"),
        api=ApiSettings(cors_origins=["https://a.example", "https://b.example"]),
        feed=FeedSettings(reply_rule="all"),
        public=PublicSettings(base_url="https://api.example"),
        secret=SecretSettings(cursor_keys=["one,with comma", "two"]),
        smtp=SmtpSettings.model_validate({"from": "A <a@b.example>"}),
    )
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
