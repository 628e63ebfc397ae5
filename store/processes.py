"""Whether a process we know only by its number still runs, and what it is.

A killed server stays a zombie until its parent collects it; a number may be given to another
process. Lives here: those two traps. Does not belong here: starting anything.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

PROC = Path("/proc")


def is_alive(pid: int) -> bool:
    """Whether ``pid`` runs; a zombie does not (and is collected if it is our child)."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not _state(pid).startswith(("Z", "X"))


def is_postgres_of(pid: int, data: Path) -> bool:
    """Whether ``pid`` is a live Postgres whose working folder is ``data`` (its data folder)."""
    if not is_alive(pid):
        return False
    if not PROC.is_dir():
        return "postgres" in _ps(pid, "comm=")
    try:
        return (PROC / str(pid) / "cwd").samefile(data)
    except OSError:
        return False


def wait_until_gone(pid: int, seconds: float) -> bool:
    """Wait for ``pid`` to end; False when it still runs after ``seconds``."""
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _state(pid: int) -> str:
    if PROC.is_dir():
        try:
            return (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return "X"
    return _ps(pid, "stat=") or "X"


def _ps(pid: int, column: str) -> str:
    done = subprocess.run(["ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()
