"""The commands `flowforge source up | status | migrate | load | down`, as a person runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.source import app
from store.embedded import EmbeddedPostgres
from tests.support.source import user, write_world


def test_the_source_commands_from_up_to_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("FLOWFORGE_HOME", str(home))
    monkeypatch.delenv("FLOWFORGE_SOURCE__URL", raising=False)
    world = write_world(tmp_path / "world", users=[user(1), user(2)])
    bad = write_world(tmp_path / "bad", users=[user(1), user(1)])
    runner = CliRunner()

    def said(*arguments: str, code: int = 0) -> str:
        result = runner.invoke(app, list(arguments))
        assert result.exit_code == code, result.output
        return result.output

    try:
        assert "flowforge source up" in said("status", code=3)
        assert "started" in said("up")
        assert "running already" in said("up")
        assert "***" in said("up"), "no password is shown"
        assert "none yet" in said("status")
        assert "loaded tiny: 2 rows" in said("load", str(world))
        assert "tiny, as of 2026-03-01" in said("status")
        assert "--replace" in said("load", str(world), code=1)
        assert "users, row 2, column id, value 1: is unique" in said("load", str(bad), "--replace", code=1)
        assert "loaded tiny: 2 rows" in said("load", str(world), "--replace")
        assert "revision base" in said("migrate", "--down")
        assert "revision 0003" in said("migrate")
        assert "stopped" in said("down")
        assert "was not running" in said("down")
    finally:
        EmbeddedPostgres(home).stop()


def test_a_customers_server_is_not_ours_to_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLOWFORGE_HOME", str(tmp_path))
    monkeypatch.setenv("FLOWFORGE_SOURCE__URL", "postgresql://reader@db.example/app")
    result = CliRunner().invoke(app, ["up"])
    assert result.exit_code == 1
    assert "not ours to start" in result.output
