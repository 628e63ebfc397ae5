"""Documentation under test: every setting, command and table is documented, and the reference is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cli import build_app
from pipelines.reference import _commands, _settings, pages
from quality.registry import REGISTRY
from store.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("path", "text"), list(pages(build_app()).items()), ids=lambda x: getattr(x, "name", ""))
def test_a_generated_page_is_current(path, text):
    assert path.read_text() == text, f"run `flowforge docs`: {path.name} is stale"


@pytest.mark.parametrize("setting", list(_settings(Settings)), ids=lambda s: s[0])
def test_every_setting_says_what_it_means(setting):
    assert setting[2].endswith((".", ")"))


def test_every_command_says_what_it_does():
    import typer

    for path, command in _commands(typer.main.get_command(build_app()), ()):
        assert command.help, path


def test_every_contract_has_a_sentence():
    assert [name for name, contract in REGISTRY.items() if not (contract.model.__doc__ or "").strip()] == []


def test_the_readme_names_only_commands_that_exist():
    names = {path[0] for path, _ in _commands(__import__("typer").main.get_command(build_app()), ())}
    used = {
        line.split("./flowforge ")[1].split()[0].strip("`|")
        for line in (ROOT / "README.md").read_text().splitlines()
        if "./flowforge " in line
    }
    assert used <= names
