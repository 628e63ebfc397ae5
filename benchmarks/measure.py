"""What every benchmark needs: machine facts, medians, runs in processes of their own, the results' sections.

A benchmark is a plain script with ``main()``. It names a rival, runs it in the same session, and
reports the ratio; absolute figures stand beside machine facts. Two figures are compared by CPU
time, because the machines are shared. Does not belong here: what is measured.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.md")
HEAD = "# Benchmark results\n\nWritten by the scripts beside this file, one section each.\n"


def machine_facts(*packages: str) -> str:
    """Cores, memory, load, the versions of Python and of ``packages``, the commit."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    ).stdout.strip()
    return (
        f"{os.cpu_count()} cores, {pages:.0f} GiB, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, "
        f"{versions}; commit {commit or 'unknown'}"
    )


def measured(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What ``work`` gives, and its ``cpu`` and ``wall`` seconds (threads of this process included)."""
    before, begin = os.times(), time.perf_counter()
    result = work()
    after = os.times()
    cpu = after.user + after.system - before.user - before.system
    return result, {"cpu": cpu, "wall": time.perf_counter() - begin}


def peak_mib() -> float:
    """The largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_child(script: str, *arguments: str, timeout: float) -> dict[str, Any]:
    """Run ``script`` in a process of its own; its last line of output is JSON."""
    ran = subprocess.run(
        [sys.executable, script, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "PYTHONPATH": str(RESULTS.parents[1]), "POLARS_MAX_THREADS": "2"},
    )
    if ran.returncode:
        raise RuntimeError(f"{script} {' '.join(arguments)} failed:\n{ran.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return answer


def median(runs: Sequence[dict[str, Any]], name: str) -> float:
    """The median of one figure."""
    return float(statistics.median(run[name] for run in runs))


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The least-squares slope of log cost over log size."""
    x, y = ([math.log(value) for value in values] for values in (sizes, costs))
    mean_x, mean_y = statistics.fmean(x), statistics.fmean(y)
    over = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return over / sum((a - mean_x) ** 2 for a in x)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [list(head), ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_section(title: str, body: str, path: Path = RESULTS) -> None:
    """Put ``## title`` with ``body`` into the results, in place of the section of that title."""
    text = path.read_text() if path.exists() else HEAD
    section = f"## {title}\n\n{body.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    found = pattern.search(text)
    if found:
        text = text[: found.start()] + section + ("\n" if found.end() < len(text) else "") + text[found.end() :]
    else:
        text = f"{text.rstrip()}\n\n{section}"
    path.write_text(text)
