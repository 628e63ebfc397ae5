"""Sixty flips and ten rollbacks under load: nothing fails, nothing is mixed, what is corrupt is not served."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.flips import flipped


@pytest.mark.slow
def test_every_answer_is_whole_while_generations_come_and_go(tmp_path: Path) -> None:
    seen = flipped(tmp_path, flips=60, rollbacks=10)
    assert (seen.failed, seen.mixed) == ([], [])
    assert len(seen.visible_seconds) == 70
    assert seen.answers > 10 * 70
    assert seen.not_modified > 0
