"""Machine code that is kept on disk is that of the sources as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assets import compiled

HELPER = """
from assets.compiled import kernel
STEP = 1

@kernel
def add(x: int) -> int:
    return x + 10
"""
CALLER = """
from assets.compiled import kernel
from helper import STEP, add

@kernel
def run(x: int) -> int:
    return add(x) * 100 + STEP

if __name__ == "__main__":
    import caller
    print(caller.run(0), sum(caller.run.stats.cache_hits.values()))
"""


def ran(folder: Path) -> list[str]:
    root = str(Path(compiled.__file__).resolve().parents[1])
    command = [sys.executable, str(folder / "caller.py")]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env={"PYTHONPATH": root})
    return told.stdout.split()


@pytest.mark.parametrize(("old", "new", "wanted"), [("x + 10", "x + 20", "2001"), ("STEP = 1", "STEP = 2", "1002")])
def test_a_change_in_another_file_renews_the_code_that_has_it_compiled_in(
    tmp_path: Path, old: str, new: str, wanted: str
) -> None:
    (tmp_path / "caller.py").write_text(CALLER)
    (tmp_path / "helper.py").write_text(HELPER)
    assert ran(tmp_path) == ["1001", "0"]
    assert ran(tmp_path) == ["1001", "1"]
    (tmp_path / "helper.py").write_text(HELPER.replace(old, new))
    assert ran(tmp_path) == [wanted, "0"]
