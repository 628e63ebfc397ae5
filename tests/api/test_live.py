"""``WS /v2/live`` with a real client against the real server: who may listen, what is told, who is sent away (06.2)."""

import asyncio
import itertools
import json
import re
import socket
import time
from collections import Counter
from datetime import timedelta
from functools import partial

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.auth import demo_token
from store.settings import Settings
from tests.support.api import DORMANT, EXACT, READER, assert_shape, frames
from tests.support.server import api_server
from tests.support.serving import AS_OF, feed_item, small_generation, table

SPREAD = 3.0
HOURS = itertools.count(1)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("live")
    small_generation(home, frames=frames())
    return home


@pytest.fixture(scope="module")
def server(home):
    with api_server(home, API__LIVE_SPREAD_SECONDS=str(SPREAD), API__LIVE_PER_PRINCIPAL="3") as running:
        yield running


def listen(server, user=READER, *, token=None, offered=None, query=""):
    """Opens a connection of a user, or with this token, or with these subprotocols."""
    bearer = token or demo_token(Settings(home=server.home), user)
    protocols = ["flowforge.v2", f"bearer.{bearer}"] if offered is None else offered
    url = f"ws://127.0.0.1:{server.port}/v2/live{query}"
    return connect(url, subprotocols=protocols, compression=None, ping_interval=None, max_queue=None)


@pytest.fixture
def listening(server):
    """:func:`listen` to the server that tests share."""
    return partial(listen, server)


async def closing_code(connection):
    """The code the server closes with, whatever it says before."""
    async with connection as socket_:
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await asyncio.wait_for(socket_.recv(), 30)
    return closed.value.rcvd.code


async def heard(socket_, *, until):
    """Events until ``until`` of them says yes, each of the contract's shape."""
    events = []
    while not events or not until(events):
        events.append(json.loads(await asyncio.wait_for(socket_.recv(), 30)))
        assert_shape("Event", events[-1])
    return events


def pings(count):
    return lambda events: sum(e["type"] == "ping" for e in events) == count


def republished(home, *, changing=()):
    """A newer generation; beside the newest, only the ranked feeds of ``changing`` are certainly others."""
    made = frames()
    items = [row for row in made["feed_items"].collect().to_dicts() if not (row["viewer_id"] in changing
             and row["mode"] == "ranked")]  # fmt: skip
    items += [feed_item(viewer, "ranked", n, is_unseen=True, score=n) for viewer in changing for n in range(1, 4)]
    made["feed_items"] = table("feed_items", items)
    return small_generation(home, AS_OF + timedelta(hours=next(HOURS)), frames=made).generation


def test_the_protocol_is_chosen_and_pings_come(listening):
    async def scene():
        async with listening() as socket_:
            assert socket_.subprotocol == "flowforge.v2"
            assert {e["type"] for e in await heard(socket_, until=pings(3))} == {"ping"}

    asyncio.run(scene())


@pytest.mark.parametrize("offered", [[], ["chat"], ["bearer.x"]])
def test_a_client_that_does_not_speak_the_protocol_is_told_how(listening, offered):
    async def scene():
        with pytest.raises(InvalidStatus) as refused:
            await listening(offered=offered)
        return refused.value.response

    response = asyncio.run(scene())
    assert response.status_code == 400
    told = json.loads(response.body)
    assert_shape("Problem", told)
    assert "flowforge.v2" in told["detail"]
    assert re.fullmatch("[0-9a-f]{32}", told["trace_id"])
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("case", ["none", "nonsense", "another key", "a service", "an operator"])
def test_a_token_that_proves_no_user_is_closed_with_4401(listening, home, tmp_path, case):
    bearer = {
        "none": None,
        "nonsense": "bearer.nonsense",
        "another key": f"bearer.{demo_token(Settings(home=tmp_path), READER)}",
        "a service": f"bearer.{demo_token(Settings(home=home), 'feeder', role='service')}",
        "an operator": f"bearer.{demo_token(Settings(home=home), '7', role='operator')}",
    }[case]
    offered = ["flowforge.v2"] + ([bearer] if bearer else [])
    assert asyncio.run(closing_code(listening(offered=offered))) == 4401


def test_an_expired_token_is_closed_with_4408(listening, home):
    token = demo_token(Settings(home=home), READER, ttl_seconds=-1)
    assert asyncio.run(closing_code(listening(token=token))) == 4408


def test_a_token_that_expires_while_open_is_closed_with_4408(listening, home):
    token = demo_token(Settings(home=home), READER, ttl_seconds=3)
    assert asyncio.run(closing_code(listening(token=token))) == 4408


def test_one_user_holds_so_many_connections_and_others_theirs(listening):
    async def scene():
        async with listening(), listening(), listening():
            assert await closing_code(listening()) == 4429
            async with listening(EXACT) as other:
                await heard(other, until=pings(1))
        async with listening() as again:
            await heard(again, until=pings(1))

    asyncio.run(scene())


def test_a_worker_holds_so_many_connections(home):
    async def scene(server):
        async with listen(server, 1), listen(server, 2):
            assert await closing_code(listen(server, 3)) == 4429

    with api_server(home, API__LIVE_PER_WORKER="2") as server:
        asyncio.run(scene(server))


def test_a_client_that_talks_without_end_is_closed_with_4429(home):
    async def scene(server):
        async with listen(server) as socket_:
            with pytest.raises(ConnectionClosed) as closed:
                for _ in range(1000):
                    await socket_.send("x")
                    await asyncio.sleep(0.01)
            return closed.value.rcvd.code

    with api_server(home, API__RATE_USER="20/60") as server:
        assert asyncio.run(scene(server)) == 4429


def test_a_new_generation_is_told_and_a_feed_only_to_whom_it_changed(tmp_path):
    async def scene(server):
        async with listen(server, READER) as reader, listen(server, EXACT) as exact, listen(server, DORMANT) as dormant:
            for each in (reader, exact, dormant):
                await heard(each, until=pings(1))
            generation = await asyncio.to_thread(republished, tmp_path, changing=(READER,))
            told = [await heard(each, until=lambda e: "generation" in {x["type"] for x in e} and
                                e[-1]["type"] == "ping") for each in (reader, exact, dormant)]  # fmt: skip
            again = await heard(reader, until=pings(3))
        return generation, told, again

    small_generation(tmp_path, frames=frames())
    with api_server(tmp_path, API__LIVE_SPREAD_SECONDS=str(SPREAD)) as server:
        generation, told, again = asyncio.run(scene(server))
    kinds = [Counter(e["type"] for e in events if e["type"] != "ping") for events in told]
    assert kinds == [{"generation": 1, "feed_changed": 1}, {"generation": 1}, {"generation": 1}]
    assert {e["generation"] for events in told for e in events if "generation" in e} == {generation}
    assert [e for e in told[0] if e["type"] == "feed_changed"] == [
        {"type": "feed_changed", "generation": generation, "mode": "ranked", "unseen_count": 3}
    ]
    assert {e["type"] for e in again} == {"ping"}, "nothing is said twice"


def test_a_token_without_the_feeds_scope_learns_of_generations_only(listening, home):
    async def scene():
        token = demo_token(Settings(home=home), READER, scopes={"usage:read"})
        async with listening(token=token) as socket_:
            await heard(socket_, until=pings(1))
            await asyncio.to_thread(republished, home)
            told = await heard(socket_, until=lambda e: e[-1]["type"] == "generation")
            return told + await heard(socket_, until=pings(2))

    assert {e["type"] for e in asyncio.run(scene())} == {"ping", "generation"}


def test_who_says_since_is_told_what_they_missed_once(listening, home, server):
    since = httpx.get(f"{server.url}/readyz").json()["generation"]
    newest = republished(home, changing=(EXACT,))

    async def scene():
        async with listening(READER, query=f"?since={since}") as behind:
            return await heard(behind, until=pings(3))

    events = []
    for _ in range(100):
        if httpx.get(f"{server.url}/readyz").json()["generation"] == newest:
            events = asyncio.run(scene())
            break
        time.sleep(0.1)
    assert [e["generation"] for e in events if e["type"] == "generation"] == [newest]


@pytest.mark.parametrize("since", ["", "x", "..%2F..", "%00", "9" * 22 + "-" + "0" * 12, "a" * 3000])
def test_a_since_that_is_no_kept_generation_does_no_harm(listening, since):
    async def scene():
        async with listening(query=f"?since={since}") as socket_:
            await heard(socket_, until=pings(2))

    asyncio.run(scene())


def test_hints_are_spread_over_the_time_set(home):
    async def hinted(server, user):
        async with listen(server, user) as socket_:
            opened.release()
            await heard(socket_, until=lambda e: e[-1]["type"] == "generation")
            return asyncio.get_running_loop().time()

    async def scene(server):
        tasks = [asyncio.create_task(hinted(server, user)) for user in range(1, 101)]
        for _ in tasks:
            await opened.acquire()
        await asyncio.to_thread(republished, home)
        return sorted(await asyncio.gather(*tasks))

    opened = asyncio.Semaphore(0)
    with api_server(home, API__LIVE_SPREAD_SECONDS=str(SPREAD)) as server:
        told = asyncio.run(scene(server))
    # Of 100 clients at random places in the time set, all but one in a million runs spread over half of it.
    assert told[-1] - told[0] > SPREAD / 2


def test_a_client_that_never_reads_does_not_keep_others_waiting(listening, home, server):
    """Its receive buffer is tiny and stays full; the others are told and pinged as ever."""
    token = demo_token(Settings(home=home), READER)
    request = (f"GET /v2/live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
               f"Sec-WebSocket-Protocol: flowforge.v2, bearer.{token}\r\n\r\n")  # fmt: skip

    async def scene():
        async with listening(EXACT) as other:
            await heard(other, until=pings(4))

    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall(request.encode())
        asyncio.run(scene())


def test_connections_are_counted_in_the_metrics(listening, server):
    async def scene():
        async with listening() as one, listening(EXACT):
            await heard(one, until=pings(1))
            assert await closing_code(listening(offered=["flowforge.v2", "bearer.nobody"])) == 4401
            return httpx.get(f"{server.url}/metrics").text

    lines = asyncio.run(scene()).splitlines()
    assert "flowforge_live_connections 2.0" in lines
    assert any(line.startswith('flowforge_live_closed_total{code="4401"}') for line in lines)


def test_a_stopping_server_does_not_wait_for_who_listens(home):
    async def scene(server):
        async with listen(server) as socket_:
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            with pytest.raises(ConnectionClosed):
                while True:
                    await asyncio.wait_for(socket_.recv(), 30)
            await stopping

    with api_server(home) as server:
        asyncio.run(scene(server))
        said = server.log.read_text()
    assert "Killing" not in said
