"""The project names no registry host, no path of a machine, and keeps no ``uv.lock``."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOSTS = re.compile(r"pypi\.org|pythonhosted|registry\.npmjs|deb\.debian\.org|/packages/[0-9a-f]{2}/[0-9a-f]{2}/")
PATHS = re.compile(r"(^|[^.\w/])/(work|root|home/\w+)/")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines()]


def test_no_tracked_file_names_a_registry_host_or_a_machines_path():
    offending = []
    for path in tracked():
        if path.suffix in (".svg", ".png", ".parquet") or path == Path(__file__).resolve() or not path.is_file():
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if HOSTS.search(line) or PATHS.search(line):
                offending.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert offending == []


def test_there_is_no_uv_lock():
    assert not [p for p in tracked() if p.name == "uv.lock"]
