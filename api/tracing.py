"""OpenTelemetry: a span for each request, when a collector is configured and the SDK is installed.

Lives here: the span and what it may say: method, route template, status, and the trace that the caller began. FastAPI's
own spans are off, because they hold paths and queries, and so people and tokens. Does not belong here: logs
(api.logs), counts (api.instruments). The SDK is loaded only when ``OTEL_EXPORTER_OTLP_ENDPOINT`` or
``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` is set; the other ``OTEL_*`` variables are the SDK's.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection
from typing import Final

from opentelemetry import trace
from opentelemetry.propagators.textmap import default_getter
from opentelemetry.trace import SpanKind, StatusCode, TracerProvider, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.instruments import UNROUTED
from api.logs import METHODS

SERVICE: Final = "flowforge-api"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_CONTEXT: Final = TraceContextTextMapPropagator()
_LOG: Final = logging.getLogger("flowforge.api")


def traced(app: ASGIApp, plain_paths: Collection[str]) -> ASGIApp:
    """``app`` with spans where they are asked for, else ``app`` itself.

    ``plain_paths`` are routes without parameters that are answered ahead of the framework.
    """
    is_off = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    if is_off or not any(os.environ.get(name) for name in _ENDPOINTS):
        return app
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider as Provider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        _LOG.warning("no spans: a collector is configured, but the group `otel` is not installed (%s)", error.name)
        return app
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: SERVICE}
    provider = Provider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traced(app, provider, plain_paths)


class Traced:
    """Wraps ``app``; connections to ``/v2/live`` have no span, they last for hours."""

    def __init__(self, app: ASGIApp, provider: TracerProvider, plain_paths: Collection[str]) -> None:
        self.app = app
        self._provider = provider
        self._plain_paths = frozenset(plain_paths)
        self._tracer = provider.get_tracer("flowforge.api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the app's life: at its end what is left of spans is sent."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            if scope["type"] == "lifespan" and hasattr(self._provider, "shutdown"):
                await asyncio.to_thread(self._provider.shutdown)
            return
        sent = {name: value for name, value in scope["headers"] if name in (b"traceparent", b"tracestate")}
        carrier = {name.decode(): value.decode("latin-1") for name, value in sent.items()}
        context = _CONTEXT.extract(carrier, getter=default_getter)
        method = scope["method"] if scope["method"] in METHODS else "HTTP"
        span = self._tracer.start_span(method, context=context, kind=SpanKind.SERVER)
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        # Logs and answers name the trace by this header, whoever began it.
        headers = [(name, value) for name, value in scope["headers"] if name != b"traceparent"]
        said = trace.format_trace_id(span.get_span_context().trace_id)
        inner = f"00-{said}-{trace.format_span_id(span.get_span_context().span_id)}-01"
        scope = {**scope, "headers": [*headers, (b"traceparent", inner.encode())]}
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                await self.app(scope, receive, sending)
        finally:
            path = scope["path"] if scope["path"] in self._plain_paths else UNROUTED
            route = getattr(scope.get("route"), "path", path)
            span.update_name(f"{method} {route}")
            span.set_attributes(
                {"http.request.method": method, "http.route": route, "http.response.status_code": status}
            )
            if status >= 500:
                span.set_status(StatusCode.ERROR)
            span.end()
