"""What processes take of memory: a server's workers, and what they share with nobody.

Does not belong here: what is measured with it.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

PRIVATE = ("Private_Clean", "Private_Dirty")
"""What a process shares with nobody."""
FAIR_SHARE = ("Pss",)
"""Of what n processes share, an n-th of each: added up, what all of them take."""


def memory_mib(pid: int, kinds: tuple[str, ...], beyond: Path) -> float:
    """Memory of a process, without what it maps of the files below ``beyond``."""
    kib, is_map = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            is_map = str(beyond) in line
        elif not is_map and (found := re.match(rf"(?:{'|'.join(kinds)}):\s+(\d+)", line)):
            kib += int(found[1])
    return kib / 1024


def processes(root: int) -> tuple[list[int], list[int]]:
    """The processes below one, and those of them that have none below: a server's workers."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    tree = {root}
    while below := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= below
    return sorted(tree - {root}), sorted(tree - set(parents.values()))
