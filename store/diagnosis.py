"""Is the environment operational? One finding per thing that must be so, with what to do where it is not.

Lives here: the questions that ``flowforge doctor`` asks of the machine, the home and the source. Does not
belong here: printing, exit codes (``pipelines.cli.doctor``).
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import psycopg

from store.catalog import SchemaDrift, check_catalog
from store.models import SCHEMA, TABLES
from store.settings import Settings
from store.source import libpq_url
from store.zones import TZDATA_VERSION, zone_names

LEAST_SERVER = 150000
LEAST_PYTHON = (3, 11)
LEAST_FREE = 2 << 30
MOST_DRIFT_SECONDS = 30.0
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Europe/Berlin")
NEEDED = ("polars", "duckdb", "dagster", "pyarrow", "sqlalchemy", "psycopg", "fastapi", "granian", "pandera")

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    status: Status
    said: str
    do: str = ""
    """What to do about it; empty when it is as it must be."""


def machine(settings: Settings) -> Iterator[Finding]:
    """Python, packages, disk, memory limits, time zones, settings that matter."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield _judged("Python", sys.version_info[:2] >= LEAST_PYTHON, version, "use Python 3.11 or later")
    missing = [name for name in NEEDED if not _version(name)]
    said = ", ".join(f"{name} {_version(name)}" for name in NEEDED if name not in missing)
    yield _judged("packages", not missing, said, f"install {', '.join(missing)} (requirements.lock)")
    settings.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.home).free
    yield _judged("disk", free >= LEAST_FREE, f"{free / 2**30:.1f} GiB free below {settings.home}",
                  "free at least 2 GiB, or set FLOWFORGE_HOME to another disk")  # fmt: skip
    is_writable = os.access(settings.home, os.W_OK | os.X_OK)
    yield _judged("home", is_writable, f"{settings.home} is {'writable' if is_writable else 'not writable'}",
                  "give this account the folder, or set FLOWFORGE_HOME")  # fmt: skip
    yield _zones()
    is_safe = settings.env != "production" or bool(settings.auth.jwks)
    yield _judged("tokens", is_safe, f"FLOWFORGE_ENV={settings.env}",
                  "set FLOWFORGE_AUTH__JWKS: demo tokens are refused in production")  # fmt: skip


def source(url: str) -> Iterator[Finding]:
    """The app's database as the role that takes snapshots sees it; one failed finding if it does not answer."""
    try:
        with psycopg.connect(libpq_url(url), connect_timeout=10, autocommit=True) as connection:
            yield from _server(connection)
            yield from _role(connection)
            yield _schema(connection)
    except psycopg.OperationalError as error:
        yield Finding("source", "failed", str(error).strip().splitlines()[0],
                      "start it (`flowforge source up`), or correct FLOWFORGE_SOURCE__URL")  # fmt: skip


def _server(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    version = connection.info.server_version
    yield _judged("server", version >= LEAST_SERVER, f"Postgres {version // 10000}.{version % 10000}",
                  "upgrade to Postgres 15 or later")  # fmt: skip
    encoding = _one(connection, "SHOW server_encoding")
    yield _judged("encoding", encoding != "SQL_ASCII", encoding,
                  "texts of a SQL_ASCII database are not known to be text: convert it to UTF8")  # fmt: skip
    drift = abs((datetime.now(UTC) - _one(connection, "SELECT clock_timestamp()")).total_seconds())
    yield _judged("clock", drift <= MOST_DRIFT_SECONDS, f"{drift:.1f} s apart from the server's",
                  "synchronise both clocks (NTP): as_of is the server's time", worst="warning")  # fmt: skip
    if _one(connection, "SELECT pg_is_in_recovery()"):
        delay = _one(connection, "SHOW max_standby_streaming_delay")
        feedback = _one(connection, "SHOW hot_standby_feedback")
        yield _judged("standby", feedback == "on" or delay == "-1", f"hot standby, hot_standby_feedback={feedback}",
                      "set hot_standby_feedback=on or a longer max_standby_streaming_delay, or long reads are "
                      "cancelled by replay", worst="warning")  # fmt: skip


def _role(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    role = _one(connection, "SELECT current_user")
    grant = f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {role}"
    may_use = _one(connection, f"SELECT CASE WHEN to_regnamespace('{SCHEMA}') IS NOT NULL THEN"
                               f" has_schema_privilege('{SCHEMA}', 'USAGE') END")  # fmt: skip
    if may_use is None:
        yield Finding("schema", "failed", f"there is no schema {SCHEMA}",
                      "load a world (`flowforge source load`), or correct FLOWFORGE_SOURCE__URL")  # fmt: skip
        return
    unreadable = [] if not may_use else _names(connection, "NOT has_table_privilege(c.oid, 'SELECT')")
    said = "may read every table" if may_use and not unreadable else f"may not read {', '.join(unreadable) or SCHEMA}"
    yield _judged("grants", may_use and not unreadable, f"role {role} {said}", grant)
    writable = _names(connection, "has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')") if may_use else []
    yield _judged("least privilege", not writable, f"role {role} may {'write' if writable else 'only read'}",
                  "give snapshots a role with LOGIN, USAGE and SELECT only", worst="warning")  # fmt: skip
    hidden = _names(connection, "row_security_active(c.oid)") if may_use else []
    told = f"policies hide rows of {', '.join(hidden)}" if hidden else "hides nothing"
    yield _judged("row security", not hidden, told,
                  f"ALTER ROLE {role} BYPASSRLS, or the snapshot is refused")  # fmt: skip


def _schema(connection: psycopg.Connection[Any]) -> Finding:
    try:
        catalog = check_catalog(connection)
    except SchemaDrift as drift:
        return Finding("columns", "failed", str(drift), "migrate the source, or agree on another schema")
    beside = [*(f"{c} is not copied" for c in catalog.ignored), *(f"{c} is cast" for c in catalog.widened)]
    return Finding("columns", "warning" if beside else "ok", "; ".join(beside[:5]) or "as agreed",
                   "look whether this was meant; snapshots work" if beside else "")  # fmt: skip


def _zones() -> Finding:
    missing = sorted(set(ZONES) - zone_names())
    if missing:
        return Finding("time zones", "failed", f"tzdata does not know {missing[0]}", "install the package tzdata anew")
    return Finding("time zones", "ok", f"tzdata {TZDATA_VERSION}")


def _names(connection: psycopg.Connection[Any], condition: str) -> list[str]:
    rows = connection.execute(
        f"SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE n.nspname = '{SCHEMA}' AND c.relkind IN ('r', 'p') AND {condition} ORDER BY 1".encode()
    )
    return [name for (name,) in rows if name in TABLES]


def _one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return None if row is None else row[0]


def _judged(what: str, is_fine: bool, said: str, do: str, *, worst: Status = "failed") -> Finding:
    return Finding(what, "ok", said) if is_fine else Finding(what, worst, said, do)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
