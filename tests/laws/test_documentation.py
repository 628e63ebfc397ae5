"""Documentation under test: every setting, command and table is documented, and the reference is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cli import COMMANDS, build_group
from pipelines.reference import _commands, _settings, pages
from quality.registry import REGISTRY
from store.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("path", "text"), list(pages(build_group()).items()), ids=lambda x: getattr(x, "name", ""))
def test_a_generated_page_is_current(path, text):
    assert path.read_text() == text, f"run `flowforge docs`: {path.name} is stale"


@pytest.mark.parametrize("setting", list(_settings(Settings)), ids=lambda s: s[0])
def test_every_setting_says_what_it_means(setting):
    assert setting[2].endswith((".", ")"))


def test_every_command_says_what_it_does():
    for path, command in _commands(build_group(), ()):
        assert command.help, path


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_list_of_commands_says_what_the_command_says(name):
    command = build_group().commands[name]
    assert command.load().help.splitlines()[0].split("\f")[0] == command.help


def test_every_contract_has_a_sentence():
    assert [name for name, contract in REGISTRY.items() if not (contract.model.__doc__ or "").strip()] == []


def test_the_readme_names_only_commands_that_exist():
    names = {path[0] for path, _ in _commands(build_group(), ())}
    used = {
        line.split("./flowforge ")[1].split()[0].strip("`|;,")
        for line in (ROOT / "README.md").read_text().splitlines()
        if "./flowforge " in line
    }
    assert used <= names
