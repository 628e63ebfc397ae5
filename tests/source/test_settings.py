"""Wrong settings are told by their names in the environment, one line each, whatever the command (spec 00)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from store.settings import SettingsInvalid, load_settings
from tests.support.flowforge import ROOT, child_environment, flowforge

WRONG = {
    "FLOWFORGE_API__RATE_USER": "abc",
    "FLOWFORGE_API__V1_SUNSET": "2027-13-01",
    "FLOWFORGE_FEED__NOPE": "1",
    "FLOWFORGE_ENV": "staging",
}


def lines_of(stderr):
    return [line.removeprefix("✗ ") for line in stderr.splitlines()]


@pytest.mark.parametrize("command", [("serve",), ("run",), ("generations", "list"), ("revocations", "--once")])
def test_a_command_says_each_wrong_setting_in_a_line_and_exits_2(tmp_path, command):
    done = flowforge(*command, home=tmp_path, **WRONG)
    lines = lines_of(done.stderr)
    assert (done.returncode, len(lines)) == (2, len(WRONG) + 1), done.stderr
    assert any(line.startswith("FLOWFORGE_API__RATE_USER=abc: ") and "Requests/seconds" in line for line in lines)
    assert any(line.startswith("FLOWFORGE_API__V1_SUNSET=2027-13-01: ") and "month" in line for line in lines)
    assert "FLOWFORGE_FEED__NOPE: there is no such setting" in lines
    assert lines[-1] == "every setting is in docs/settings.md"
    assert "Traceback" not in done.stderr
    assert "pydantic" not in done.stderr


@pytest.mark.parametrize("module", [("server",), ("token", "1")])
def test_the_apis_own_modules_say_it_too(tmp_path, module):
    name, *arguments = module
    done = subprocess.run(
        [sys.executable, "-m", f"api.{name}", *arguments],
        cwd=ROOT, env=child_environment(tmp_path, WRONG), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "FLOWFORGE_API__RATE_USER=abc" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_value_that_may_be_secret_is_not_repeated(monkeypatch):
    monkeypatch.setenv("FLOWFORGE_SECRET__CURSOR_KEYS", '["hush')
    with pytest.raises(SettingsInvalid) as refused:
        load_settings()
    assert "FLOWFORGE_SECRET__CURSOR_KEYS: " in str(refused.value)
    assert "hush" not in str(refused.value)


def test_a_live_source_is_not_served_without_its_revocations(tmp_path):
    url = {"FLOWFORGE_SOURCE__URL": "postgresql://reader@127.0.0.1:1/app"}
    done = flowforge("serve", home=tmp_path, FLOWFORGE_REVOCATIONS__MODE="off", **url)
    assert done.returncode == 2
    assert lines_of(done.stderr)[0].startswith("FLOWFORGE_REVOCATIONS__MODE=off: ")
    assert "best_effort" in done.stderr


def test_off_is_for_a_home_without_a_live_source(monkeypatch):
    monkeypatch.setenv("FLOWFORGE_REVOCATIONS__MODE", "off")
    assert load_settings().revocations_mode == "off"
    monkeypatch.setenv("FLOWFORGE_SOURCE__URL", "postgresql://reader@127.0.0.1:1/app")
    monkeypatch.setenv("FLOWFORGE_REVOCATIONS__MODE", "best_effort")
    assert load_settings().revocations_mode == "best_effort"
