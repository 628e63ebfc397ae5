"""Rate limits: what a principal may ask, in one process and shared through Redis (06.2)."""

from __future__ import annotations

import asyncio
import contextlib
import math
import shutil
import subprocess
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.auth import Principal
from api.limits import LEAST_TRACKED, MAX_TRACKED, MAX_VERDICTS, Cells, Limits, Rate
from api.server import free_port
from store.settings import ApiSettings, RedisSettings, Settings
from tests.support.api import READER, published

SECOND = 1_000_000_000
THREE = Rate("user", 3, 30)
ANN = Principal("1", "user", frozenset(), 0.0)
FEEDER = Principal("feeder", "service", frozenset(), 0.0)


def bucket(rate, gaps):
    """The oracle: a bucket of ``requests`` drops that fills drop by drop; which requests are admitted."""
    level, now, admitted = float(rate.requests), 0, []
    for gap in gaps:
        now += gap
        level = min(rate.requests, level + gap / rate.step)
        admitted.append(level > 1 - 1e-9)
        level -= admitted[-1]
    return admitted


@given(
    rate=st.builds(Rate, st.just("user"), st.integers(1, 9), st.integers(1, 60)),
    steps=st.lists(st.integers(0, 40), max_size=60),
)
def test_exactly_the_requests_that_the_bucket_holds_are_admitted(rate, steps):
    gaps = [quarter * (rate.step // 4) for quarter in steps]
    exact = Rate(rate.name, rate.requests, rate.seconds)
    cells, now, found = Cells(), 1_000 * SECOND, []
    for gap in gaps:
        now += gap
        found.append(cells.admit("a", exact, now).is_admitted)
    assert found == bucket(rate, gaps)


@given(
    rate=st.builds(Rate, st.just("user"), st.integers(1, 9), st.integers(1, 60)),
    quarters=st.lists(st.integers(0, 40), max_size=60),
)
def test_every_verdict_tells_what_is_left_of_the_bucket_and_when_it_is_full_again(rate, quarters):
    cells, now, used = Cells(), SECOND, 0
    for quarter in quarters:
        gap = quarter * (rate.step // 4)
        now, used = now + gap, max(0, used - gap)
        verdict = cells.admit("a", rate, now)
        used += rate.step if verdict.is_admitted else 0
        left, full = max(0, rate.requests * rate.step - used) // rate.step, math.ceil(Fraction(used, SECOND))
        assert (verdict.remaining, verdict.full_seconds) == (left, full)
        assert verdict.headers[1] == (b"ratelimit", f'"user";r={left};t={full}'.encode())
        assert (verdict.retry_seconds == 0) == verdict.is_admitted


@pytest.mark.parametrize("requests", [2 * MAX_VERDICTS, 3])
def test_no_more_verdicts_are_kept_than_there_is_room_for(requests):
    rate, cells = Rate("user", requests, 60), Cells()
    for _ in range(2 * MAX_VERDICTS):
        cells.admit("a", rate, SECOND)
    assert len(rate._told) <= min(MAX_VERDICTS, requests)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20 * SECOND)), max_size=40))
def test_what_one_asks_does_not_change_what_another_may(asked):
    together, alone, now = Cells(), {"a": Cells(), "b": Cells()}, SECOND
    for key, gap in asked:
        now += gap
        assert together.admit(key, THREE, now) == alone[key].admit(key, THREE, now)


def test_the_verdict_says_what_is_left_and_when_to_come_again():
    cells = Cells()
    first, second, third, refused = (cells.admit("a", THREE, SECOND) for _ in range(4))
    assert [v.remaining for v in (first, second, third, refused)] == [2, 1, 0, 0]
    assert (third.full_seconds, refused.full_seconds, refused.retry_seconds) == (30, 30, 10)
    assert not cells.admit("a", THREE, 11 * SECOND - 1).is_admitted
    assert cells.admit("a", THREE, 11 * SECOND).is_admitted
    assert first.headers == ((b"ratelimit-policy", b'"user";q=3;w=30'), (b"ratelimit", b'"user";r=2;t=10'))


def test_the_table_of_principals_is_bounded():
    cells = Cells()
    for n in range(MAX_TRACKED + 10):
        cells.admit(str(n), THREE, SECOND)
    assert len(cells._full_at) <= MAX_TRACKED
    assert not [cells.admit(str(MAX_TRACKED + 9), THREE, SECOND) for _ in range(3)][-1].is_admitted


def test_who_has_asked_nothing_for_a_while_is_not_kept_in_memory():
    cells = Cells()
    for n in range(10 * LEAST_TRACKED):
        cells.admit(str(n), THREE, n * SECOND)
    assert len(cells._full_at) <= LEAST_TRACKED
    last, now = str(10 * LEAST_TRACKED - 1), 10 * LEAST_TRACKED * SECOND
    assert [cells.admit(last, THREE, now).is_admitted for _ in range(3)] == [True, True, False]


def test_a_rate_of_nothing_is_refused_by_name():
    with pytest.raises(ValueError, match="RATE_USER=0/60"):
        Rate.read("user", "0/60")


def test_a_client_that_asks_too_often_gets_429_with_retry_after_and_others_do_not(tmp_path):
    with published(tmp_path, api=ApiSettings(rate_user="2/600", rate_service="3/600")) as api:
        answers = [api.get("/v2/me/feed", READER) for _ in range(3)]
        assert [a.status_code for a in answers] == [200, 200, 429]
        refused = answers[-1]
        assert refused.json()["type"].endswith("/quota-exceeded")
        assert 290 <= int(refused.headers["retry-after"]) <= 300
        assert refused.headers["ratelimit"].startswith('"user";r=0;t=')
        assert api.get("/v2/me/feed", READER + 1).status_code == 200
        service = [api.request("GET", "/v2/users/1/feed", token=api.token("feeder", "service")) for _ in range(4)]
        assert [a.status_code for a in service] == [200, 200, 200, 429]


def test_a_request_without_a_token_tells_no_limit(api):
    refused = api.get("/v2/me/feed")
    assert refused.status_code == 401
    assert "ratelimit" not in refused.headers


@contextlib.contextmanager
def redis_server():
    """A real server on a port of its own; ends with the block."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        pytest.skip("no redis-server or valkey-server on this machine")
    port = free_port("127.0.0.1")
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(["timeout", "60", *command], stdout=subprocess.DEVNULL)
    try:
        yield Settings(redis=RedisSettings(url=f"redis://127.0.0.1:{port}/0"), api=ApiSettings(rate_user="3/30"))
    finally:
        process.terminate()
        process.wait(10)


async def until_shared(*limits):
    """Wait until every one of them counts in Redis."""
    for _ in range(200):
        for each in limits:
            await each.admit(FEEDER)
        if all(each.last_error is None for each in limits):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"Redis does not answer: {limits[0].last_error}")


@pytest.mark.redis
def test_two_hosts_with_one_redis_admit_together_what_one_may():
    async def asked(settings):
        here, there = Limits(settings), Limits(settings)
        await until_shared(here, there)
        verdicts = [await limits.admit(ANN) for limits in (here, there, here, there)]
        await asyncio.gather(here.close(), there.close())
        return verdicts

    with redis_server() as settings:
        verdicts = asyncio.run(asked(settings))
    assert [v.is_admitted for v in verdicts] == [True, True, True, False]
    assert [v.remaining for v in verdicts] == [2, 1, 0, 0]
    assert verdicts[3].retry_seconds in (9, 10)


@pytest.mark.redis
def test_while_redis_is_down_a_process_counts_for_itself_and_comes_back():
    async def asked():
        with redis_server() as settings:
            limits = Limits(settings)
            await until_shared(limits)
        begun = time.monotonic()
        alone = [await limits.admit(ANN) for _ in range(4)]
        assert limits.last_error is not None
        assert time.monotonic() - begun < 30, "a request waits for a server that is down"
        await limits.close()
        return alone

    assert [v.is_admitted for v in asyncio.run(asked())] == [True, True, True, False]
