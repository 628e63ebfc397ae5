"""What is logged of a request, and what never is: tokens, people, paths, queries (06.2)."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.auth import demo_token
from api.logs import JsonLines, RequestLog, TextLines, request_id
from store.payloads import Unsubscribe, kept_key, write_unsubscribe_token
from store.settings import ApiSettings, Settings
from tests.support.api import READER, ROOT, frames
from tests.support.server import api_server
from tests.support.serving import small_generation

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GIVEN = "0190c2a4-7d1e-7c3b-9a52-1f0e5d6c7b8a"
SECRET_USER = 8_646_911_284_551_352_321


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("logs")
    small_generation(home, frames=frames())
    return home


def lines_of(server):
    return [json.loads(line) for line in server.log.read_text().splitlines()]


def test_each_request_has_one_line_of_known_fields(home):
    token = demo_token(Settings(home=home), READER)
    with api_server(home, API__LOG_FORMAT="json", API__LOG_SAMPLE="1") as server:
        bearer = {"authorization": f"Bearer {token}", "x-request-id": GIVEN}
        answers = [
            httpx.get(f"{server.url}/v2/me/feed", headers=bearer),
            httpx.get(f"{server.url}/v2/me/feed?limit=7", headers=bearer),
            httpx.get(f"{server.url}/v2/users/{READER}/feed", headers=bearer),
            httpx.get(f"{server.url}/v2/me/feed", headers={"x-request-id": GIVEN}),
        ]
    assert [a.headers["x-request-id"] for a in answers] == [GIVEN] * 4
    requests = [line for line in lines_of(server) if line.get("request_id") == GIVEN]
    assert [(r["route"], r["status"], r["principal"]) for r in requests] == [
        ("/v2/me/feed", 200, "user"), ("/v2/me/feed", 200, "user"), ("/v2/users/{user_id}/feed", 403, "user"),
        ("/v2/me/feed", 401, "anonymous"),
    ]  # fmt: skip
    fields = {"at", "level", "logger", "message", "request_id", "method", "route", "status", "duration_ms", "principal"}
    assert {frozenset(r) for r in requests} == {frozenset(fields)}
    assert all(r["duration_ms"] >= 0 and r["method"] == "GET" for r in requests)


def test_forked_workers_never_give_the_same_trace_id():
    # One writes after the other: what two processes write to a pipe at once may mix.
    code = (
        "import os; from api.logs import trace_id; child = os.fork(); child and os.waitpid(child, 0); "
        "print(*(trace_id(None) for _ in range(1000)))"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    ids = told.split()
    assert len(set(ids)) == len(ids) == 2000


def test_no_token_person_path_or_query_is_ever_logged(home):
    settings = Settings(home=home)
    tokens = [demo_token(settings, SECRET_USER), demo_token(settings, "hushhush", role="service"),
              write_unsubscribe_token(Unsubscribe(SECRET_USER, "email"), kept_key(home, "unsubscribe"))]  # fmt: skip
    with api_server(home, API__LOG_FORMAT="json", API__LOG_SAMPLE="1") as server:
        for token in tokens:
            for path in (f"/v2/users/{SECRET_USER}/feed", f"/v2/unsubscribe/{token}", "/v2/me/feed?cursor=HUSHHUSH",
                         "/HUSHHUSH", f"/v2/me/digests/{'hushhush' * 8}", f"/docs/assets/{token}"):  # fmt: skip
                for headers in ({"authorization": f"Bearer {token}"}, {"authorization": f"Bearer {token}x"},
                                {"x-request-id": token, "traceparent": f"00-{TRACE}-hushhush-01"},
                                {"cookie": token, "user-agent": token, "referer": token, "origin": token}):  # fmt: skip
                    httpx.get(server.url + path, headers=headers)
            httpx.request(f"HUSHHUSH{token[:20]}", server.url + "/livez")
            httpx.post(f"{server.url}/v2/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"})
        said = server.log.read_text()
    assert len([line for line in lines_of(server) if line["message"] == "request"]) > 70
    for secret in (*tokens, *(part for t in tokens for part in t.split(".")), str(SECRET_USER)):
        assert secret not in said
    assert "hushhush" not in said.lower()


def test_an_id_is_made_where_none_or_a_hostile_one_is_sent(api):
    for hostile in (None, "", "short", "a" * 37, "8646911284551352321", "a.b.c" * 5, "x" * 20 + "\t", "ü" * 20):
        headers = {} if hostile is None else {b"x-request-id": hostile.encode()}
        found = api.get("/livez", headers=headers).headers["x-request-id"]
        assert len(found) == 32
        assert found != hostile


def test_the_trace_is_the_id_where_no_other_is_given(api):
    found = api.get("/livez", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    assert found.headers["x-request-id"] == TRACE


@given(st.binary(max_size=80))
def test_what_is_taken_for_an_id_is_plain(given_id):
    found = request_id(given_id, TRACE)
    assert found == TRACE or (found.encode() == given_id and 20 <= len(found) <= 36 and "." not in found)


def test_the_shortest_token_is_too_long_for_an_id():
    for channel in ("email", "push", "in_app"):
        token = write_unsubscribe_token(Unsubscribe(1, channel), b"k" * 32)
        assert request_id(token.replace("_", "-").encode(), TRACE) == TRACE


@pytest.mark.parametrize(("sample", "logged"), [(0, 0), (1, 20), (7, 2), (20, 1), (21, 0)])
def test_one_in_so_many_is_logged_and_every_failure_of_ours(caplog, sample, logged):
    log = RequestLog(ApiSettings(log_sample=sample))
    with caplog.at_level(logging.INFO, "flowforge.requests"):
        for _ in range(20):
            log.note("id", "GET", "/livez", 200, 0.001, "user")
        assert len(caplog.records) == logged
        log.note("id", "GET", "/livez", 500, 0.001, "user")
        assert caplog.records[-1].levelno == logging.ERROR


def record_of_an_error():
    try:
        raise ValueError('a "quoted"\nthing')
    except ValueError:
        record = logging.LogRecord("n", logging.ERROR, "p", 1, 'said "%s"\n', ("it",), sys.exc_info())
        record.fields = {"route": "/x"}
        return record


def test_a_line_of_json_stays_one_line():
    text = JsonLines().format(record_of_an_error())
    said = json.loads(text)
    assert "\n" not in text
    assert (said["message"], said["route"]) == ('said "it"\n', "/x")
    assert "ValueError" in said["exception"]


def test_a_line_of_text_says_the_same():
    text = TextLines().format(record_of_an_error())
    assert " ERROR n " in text
    assert "route=/x" in text
    assert "ValueError" in text
