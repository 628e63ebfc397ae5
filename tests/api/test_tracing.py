"""Spans by the real SDK: one a request, in the caller's trace, and nothing in it about people (06.2)."""

from __future__ import annotations

import asyncio
import http.server
import os
import subprocess
import sys
import threading

import httpx
import pytest

from api.auth import demo_token
from api.hot import Hot
from api.tracing import Traced, traced
from store.settings import Settings
from tests.support.api import READER, ROOT, frames
from tests.support.server import api_server
from tests.support.serving import small_generation

sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="the group otel is not installed")
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def spans(api):
    """Asks the app behind :class:`Traced`; tells the answer and the spans it made."""
    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    hot = Hot(api.app)
    transport = httpx.ASGITransport(Traced(hot, provider, hot.paths), raise_app_exceptions=False)

    def ask(path, **headers):
        async def asked():
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                return await client.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})

        exporter.clear()
        answer = asyncio.run(asked())
        return answer, exporter.get_finished_spans()

    return ask


@pytest.mark.parametrize(
    ("path", "name", "status"),
    [("/v2/me/feed", "GET /v2/me/feed", 200), ("/v2/me/feed?limit=3", "GET /v2/me/feed", 200),
     (f"/v2/users/{READER}/feed", "GET /v2/users/{user_id}/feed", 403), ("/secret/1", "GET (none)", 404),
     ("/livez", "GET /livez", 200)],
)  # fmt: skip
def test_a_request_is_one_span_that_says_no_more_than_the_route(api, spans, path, name, status):
    token = api.token(READER)
    answer, (span,) = spans(path, authorization=f"Bearer {token}")
    assert (answer.status_code, span.name) == (status, name)
    assert dict(span.attributes) == {
        "http.request.method": "GET", "http.route": name.partition(" ")[2], "http.response.status_code": status
    }  # fmt: skip
    assert span.kind.name == "SERVER"
    assert not span.events


def test_the_trace_that_the_caller_began_goes_on(spans):
    answer, (span,) = spans("/livez", traceparent=f"00-{TRACE}-{PARENT}-01")
    assert f"{span.context.trace_id:032x}" == TRACE == answer.headers["x-request-id"]
    assert f"{span.parent.span_id:016x}" == PARENT


def test_a_malformed_trace_begins_a_new_one_that_the_answer_names(spans):
    answer, (span,) = spans("/nowhere", traceparent=f"00-{'0' * 32}-{PARENT}-01")
    assert span.parent is None
    assert f"{span.context.trace_id:032x}" == answer.json()["trace_id"] == answer.headers["x-request-id"]


def test_the_framework_makes_no_spans_of_its_own(api):
    telemetry = api.app._telemetry
    assert not any(telemetry[signal] for signal in ("tracing", "metrics", "logs", "auto_configure"))


@pytest.mark.parametrize(
    "environment",
    [{}, {ENDPOINT: ""}, {ENDPOINT: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
     {ENDPOINT: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}],
)  # fmt: skip
def test_without_a_collector_nothing_is_wrapped(monkeypatch, environment):
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = object()
    assert traced(app, ()) is app


def test_without_a_collector_neither_tracer_nor_exporter_is_loaded(tmp_path):
    code = (
        "import sys, api.app; api.app.app_from_environment(); "
        "sys.exit(', '.join({'opentelemetry.sdk.trace', 'opentelemetry.exporter'} & set(sys.modules)) or 0)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")} | {"FLOWFORGE_HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_a_real_server_sends_its_spans_to_the_collector(tmp_path, monkeypatch):
    received = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    small_generation(tmp_path, frames=frames())
    token = demo_token(Settings(home=tmp_path), READER)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{collector.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        with api_server(tmp_path) as server:
            answer = httpx.get(f"{server.url}/v2/me/feed", headers={"authorization": f"Bearer {token}"})
            server.stop()
        collector.shutdown()
        thread.join()
    assert answer.status_code == 200
    assert {path for path, _ in received} == {"/v1/traces"}
    body = b"".join(body for _, body in received)
    assert bytes.fromhex(answer.headers["x-request-id"]) in body
    assert b"GET /v2/me/feed" in body
    assert b"flowforge-api" in body
    assert token.encode() not in body
