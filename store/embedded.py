"""A real Postgres with nothing installed: one server per home, started and stopped by one class.

Lives here: creating, starting, finding again and stopping the server below ``HOME/postgres``, and
its roles and databases. What is known about a running server is what its own ``postmaster.pid``
says. Does not belong here: tables, migrations, data (``store.source``, ``store.worlds``).
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Self

import psycopg
from psycopg import sql
from sqlalchemy import URL

from store import pg_binaries
from store.processes import is_alive, is_postgres_of, wait_until_gone

APP_DATABASE = "app"
LEDGER_DATABASE = "flowforge"
SUPERUSER, OWNER, READER = "postgres", "flowforge_owner", "flowforge_reader"
ROLES = {"superuser": SUPERUSER, "owner": OWNER, "reader": READER}
Role = Literal["superuser", "owner", "reader"]

START_SECONDS = 60.0
STOP_SECONDS = 30.0
SOCKET_PREFIX = "flowforge-pg-"
RETRIED = ("pre-existing shared memory block", "lock file", "Address already in use", "could not create any TCP/IP")
SERVER_OPTIONS = {
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    # No standby follows this server: less WAL, and none for tables filled in the transaction that made them.
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


class EmbeddedPostgresError(Exception):
    """The embedded server cannot be created, started, reached or stopped; the message says why."""


@dataclass(frozen=True)
class Running:
    """A running server, as its ``postmaster.pid`` describes it."""

    pid: int
    port: int
    socket_folder: Path
    is_ready: bool


class EmbeddedPostgres:
    """The Postgres of one home (spec 01.3). A context manager: starts it, and stops it if it started it.

    Everything durable lies in ``HOME/postgres``; the socket lies in a short temporary folder. As
    root the server runs as ``nobody``; its folder may lie below folders ``nobody`` cannot enter.

    Args:
        home: ``FLOWFORGE_HOME``.
        pg_bin: ``FLOWFORGE_SOURCE__PG_BIN``, a folder with ``initdb`` and ``postgres``.
        options: further server settings (``{"fsync": "on"}``), for tests.
    """

    def __init__(self, home: Path, pg_bin: Path | None = None, options: dict[str, str] | None = None) -> None:
        self.folder = home.expanduser().absolute() / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self._credentials = self.folder / "credentials.json"
        self._pg_bin = pg_bin
        self._options = SERVER_OPTIONS | (options or {})
        self._account = pg_binaries.server_account()
        self._was_started_here = False

    def __enter__(self) -> Self:
        self._was_started_here = self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._was_started_here:
            self.stop()

    @property
    def running(self) -> Running | None:
        """The running server, or None."""
        found = self._pid_file()
        return found if found is not None and is_postgres_of(found.pid, self.data) else None

    def url(self, database: str = APP_DATABASE, role: Role = "owner") -> str:
        """SQLAlchemy URL (with its password) of a database of the running server.

        Raises:
            EmbeddedPostgresError: if the server does not run.
        """
        found = self.running
        if found is None:
            raise EmbeddedPostgresError(f"the embedded Postgres of {self.folder.parent} is not running")
        return URL.create(
            "postgresql+psycopg",
            username=ROLES[role],
            password=self._passwords()[ROLES[role]],
            database=database,
            query={"host": str(found.socket_folder), "port": str(found.port)},
        ).render_as_string(hide_password=False)

    def start(self) -> bool:
        """Create the server if there is none, start it if it is down; False if it ran already.

        The server outlives this process. A server killed with ``kill -9`` recovers every committed
        row; its stale ``postmaster.pid`` is dealt with.

        Raises:
            EmbeddedPostgresError: with the tail of the server's log.
            store.pg_binaries.PostgresNotFound: with what to install.
        """
        with self._only_one():
            if (found := self.running) is not None and self._await_ready(found.pid) and self._answers(found.pid):
                return False
            binaries = pg_binaries.runnable_binaries(pg_binaries.find_binaries(self._pg_bin), self._account)
            if not self.data.exists():
                self._create(binaries)
            self._launch(binaries)
            self._ensure_roles_and_databases()
        return True

    def stop(self) -> bool:
        """Stop the server, rolling back what is not committed; False if it was down."""
        with self._only_one():
            found = self.running
            if found is None:
                return False
            for signal_, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, STOP_SECONDS)):
                self._signal(found.pid, signal_)
                if wait_until_gone(found.pid, seconds):
                    self._remove_socket_folder(found.socket_folder)
                    return True
        raise EmbeddedPostgresError(f"Postgres (process {found.pid}) does not stop; its log is {self.log}")

    # creating

    def _create(self, binaries: Path) -> None:
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._give(unfinished)
        with self._socket_folder() as scratch, self._reachable(unfinished) as (path, descriptors):
            password = scratch / "password"
            password.write_text(self._passwords()[SUPERUSER])
            self._give(password)
            command = [
                str(binaries / "initdb"), "-D", path, "-U", SUPERUSER, "-E", "UTF8", "-A", "scram-sha-256",
                "--pwfile", str(password), "--lc-collate=C", "--lc-ctype=C.UTF-8",
                *(["--no-sync"] if self._options.get("fsync") == "off" else []),
            ]  # fmt: skip
            done = self._spawn(command, descriptors, subprocess.PIPE)
            output = done.communicate()[0].decode(errors="replace")
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed:\n{output[-2000:]}")
        unfinished.rename(self.data)

    def _ensure_roles_and_databases(self) -> None:
        passwords = self._passwords()
        with psycopg.connect(_libpq(self.url("postgres", "superuser")), autocommit=True) as connection:
            if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
                return  # a standby has what its primary has
            roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
            databases = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            for role, attributes in ((OWNER, "LOGIN CREATEDB"), (READER, "LOGIN")):
                if role not in roles:
                    statement = sql.SQL("CREATE ROLE {} " + attributes + " PASSWORD {}")
                    connection.execute(statement.format(sql.Identifier(role), sql.Literal(passwords[role])))
            for database in (APP_DATABASE, LEDGER_DATABASE):
                name, owner = sql.Identifier(database), sql.Identifier(OWNER)
                if database not in databases:
                    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
                connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            connection.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                    sql.Identifier(APP_DATABASE), sql.Identifier(READER)
                )
            )

    def _passwords(self) -> dict[str, str]:
        if not self._credentials.is_file() or not self._credentials.stat().st_size:
            generated = {role: secrets.token_urlsafe(24) for role in ROLES.values()}
            self._credentials.touch(mode=0o600)
            self._credentials.write_text(json.dumps(generated))
        found: dict[str, str] = json.loads(self._credentials.read_bytes())
        return found

    # starting

    def _launch(self, binaries: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._disarm_stale_pid_file()
            self.log.write_bytes(b"")
            with self._socket_folder(keep=True) as sockets, self._reachable(self.data) as (path, descriptors):
                options = self._options | self._address(sockets)
                command = [str(binaries / "postgres"), "-D", path]
                command += [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
                with self.log.open("ab") as log:
                    process = self._spawn(command, descriptors, log)
            process.returncode = 0  # it outlives us on purpose; store.processes collects it if we outlive it
            if self._await_ready(process.pid):
                return
            self._remove_socket_folder(sockets)
            said = self.log.read_text(errors="replace")
            if time.monotonic() > deadline or not any(reason in said for reason in RETRIED):
                raise EmbeddedPostgresError(f"Postgres does not start; {self.log} says:\n{said[-2000:]}")
            time.sleep(0.2)

    def _spawn(
        self, command: list[str], descriptors: tuple[int, ...], output: int | IO[bytes]
    ) -> subprocess.Popen[bytes]:
        account = self._account
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC"},
            start_new_session=True,
            umask=0o077,
            pass_fds=descriptors,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )

    def _await_ready(self, pid: int) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while is_alive(pid):
            found = self._pid_file()
            if found is not None and found.pid == pid and found.is_ready:
                return True
            if time.monotonic() > deadline:
                self._signal(pid, signal.SIGQUIT)
                wait_until_gone(pid, STOP_SECONDS)
                break
            time.sleep(0.01)
        return False

    def _answers(self, pid: int) -> bool:
        """Whether a server that was found running lets us in; one that was just killed does not."""
        deadline = time.monotonic() + START_SECONDS
        while is_alive(pid):
            try:
                psycopg.connect(_libpq(self.url("postgres", "superuser")), connect_timeout=5).close()
            except (psycopg.OperationalError, EmbeddedPostgresError) as error:
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"Postgres (process {pid}) runs but does not answer: {error}"
                    ) from error
                time.sleep(0.05)
            else:
                return True
        return False

    def _address(self, sockets: Path) -> dict[str, str]:
        """Socket always; loopback too where there is one, on the home's own port if that is free."""
        preferred = 20000 + zlib.crc32(str(self.folder).encode()) % 20000
        for port in (preferred, 0):
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                port = probe.getsockname()[1]  # noqa: PLW2901
            return {"unix_socket_directories": str(sockets), "port": str(port), "listen_addresses": "127.0.0.1"}
        return {"unix_socket_directories": str(sockets), "port": str(preferred), "listen_addresses": ""}

    def _pid_file(self) -> Running | None:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return Running(int(lines[0]), int(lines[3]), Path(lines[4]), len(lines) > 7 and lines[7].strip() == "ready")
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def _disarm_stale_pid_file(self) -> None:
        """Make a dead server's ``postmaster.pid`` harmless.

        Postgres refuses to start while the number in it names any living process of its user, also a
        zombie or a stranger. Our own number (its parent's) it ignores, and still checks for backends
        of the dead server by the rest of the file, which deleting the file would skip.
        """
        path = self.data / "postmaster.pid"
        if not path.is_file():
            return
        if (found := self._pid_file()) is not None:
            self._remove_socket_folder(found.socket_folder)
        lines = path.read_text().splitlines(keepends=True)
        if not lines or not lines[0].strip().isdigit():
            path.unlink()
            return
        path.write_text("".join([f"{os.getpid()}\n", *lines[1:]]))

    # folders

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _reachable(self, folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
        """A path by which the server's account reaches ``folder``, and descriptors it must inherit for it.

        Below a folder that the account cannot enter (``/root``), the way is an open descriptor.
        """
        if self._account is None or self._account.can_traverse(folder.parent):
            yield str(folder), ()
            return
        if not Path("/proc/self/fd").is_dir():
            raise EmbeddedPostgresError(
                f"user {pg_binaries.UNPRIVILEGED} cannot enter {folder.parent}: choose another FLOWFORGE_HOME"
            )
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)

    @contextmanager
    def _socket_folder(self, *, keep: bool = False) -> Iterator[Path]:
        parent = pg_binaries.public_temporary_folder(self._account)
        folder = Path(tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir=parent))
        self._give(folder)
        try:
            yield folder
        finally:
            if not keep:
                self._remove_socket_folder(folder)

    def _remove_socket_folder(self, folder: Path) -> None:
        if folder.name.startswith(SOCKET_PREFIX):
            shutil.rmtree(folder, ignore_errors=True)

    def _give(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _signal(self, pid: int, signal_: signal.Signals) -> None:
        try:
            os.kill(pid, signal_)
        except ProcessLookupError:
            pass
        except PermissionError as error:
            raise EmbeddedPostgresError(f"Postgres (process {pid}) belongs to another user") from error


def _libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
