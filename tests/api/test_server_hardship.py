"""The real server in hard times: stopped with work in hand, a worker killed, clients that are slow (06.4)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time

import httpx
import pytest

from api.auth import demo_token
from store.payloads import INBOX, Unsubscribe, unsubscribe_keys, write_unsubscribe_token
from store.settings import Settings
from tests.support.api import READER, frames
from tests.support.server import api_server
from tests.support.serving import small_generation

FORM = b"List-Unsubscribe=One-Click"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("hardship")
    small_generation(home, frames=frames())
    return home


@pytest.fixture(scope="module")
def bearer(home):
    return {"authorization": f"Bearer {demo_token(Settings(home=home), READER)}"}


def half_sent(server, user):
    """A connection whose click is sent but for the end of its body."""
    token = write_unsubscribe_token(Unsubscribe(user, "email"), unsubscribe_keys(server.home, [])[0])
    head = (f"POST /v2/unsubscribe/{token} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(FORM)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n").encode()  # fmt: skip
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(head + FORM[:5])
    return connection


def rest_of(connection):
    """Everything that still comes."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received


def test_a_stopping_server_finishes_what_it_has_begun(home):
    with api_server(home) as server, half_sent(server, 1) as connection:
        time.sleep(0.5)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        time.sleep(0.5)
        connection.sendall(FORM[5:])
        answer = rest_of(connection)
        stopping.join()
        said = server.log.read_text()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"status":"unsubscribed"' in answer
    assert len(list((home / INBOX).glob("*.json"))) == 1
    assert server.process.returncode == 0
    assert "Killing" not in said


def test_a_stopping_server_ends_though_connections_are_idle(home, bearer):
    with api_server(home) as server, httpx.Client(base_url=server.url, headers=bearer) as client:
        assert client.get("/v2/me/feed").status_code == 200
        silent = socket.create_connection(("127.0.0.1", server.port))
        server.stop()
        silent.close()
        assert server.process.returncode == 0
        with pytest.raises(httpx.TransportError):
            client.get("/v2/me/feed")


def test_a_killed_worker_is_replaced_and_the_others_serve_meanwhile(home, bearer):
    def status():
        try:
            return httpx.get(f"{server.url}/v2/me/feed", headers=bearer).status_code
        except httpx.TransportError:
            return None  # a connection that the killed worker had accepted

    with api_server(home, workers=2) as server:
        for _ in range(200):
            if len(server.workers()) == 2 and status() == 200:
                break
            time.sleep(0.05)
        before = set(server.workers())
        killed = before.pop()
        os.kill(killed, signal.SIGKILL)
        seen = []
        for _ in range(400):
            seen.append(status())
            present = set(server.workers())
            if len(present) == 2 and killed not in present and len(seen) >= 60:
                break
            time.sleep(0.05)
        assert len(present) == 2, "the worker was not replaced"
        assert present > before, "the other one stayed"
        assert set(seen) <= {200, None}
        assert seen.count(200) > len(seen) // 2
        assert status() == 200


def test_a_body_that_does_not_come_is_given_up(home):
    with api_server(home) as server, half_sent(server, 2) as connection:
        connection.settimeout(60)
        connection.recv(1)
        assert not list((home / INBOX).glob("*.tmp"))


def test_slow_clients_do_not_keep_others_waiting(home, bearer):
    with api_server(home) as server, contextlib.ExitStack() as stack:
        for _ in range(300):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        answers = [httpx.get(f"{server.url}/v2/me/feed", headers=bearer).status_code for _ in range(20)]
    assert answers == [200] * 20
