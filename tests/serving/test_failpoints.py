"""Failpoints do what a test asks for, and nothing outside of tests."""

from __future__ import annotations

import pytest

from store.failpoints import FailpointHit, hit


def ask(monkeypatch: pytest.MonkeyPatch, value: str, env: str = "test") -> None:
    monkeypatch.setenv("FLOWFORGE_FAILPOINT", value)
    monkeypatch.setenv("FLOWFORGE_ENV", env)


def test_a_failpoint_raises_when_a_test_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, "publish.built:raise")
    hit("publish.renamed")
    with pytest.raises(FailpointHit, match=r"publish\.built"):
        hit("publish.built")


@pytest.mark.parametrize("env", ["production", "development"])
def test_a_failpoint_is_ignored_outside_of_tests(monkeypatch: pytest.MonkeyPatch, env: str) -> None:
    ask(monkeypatch, "publish.built:kill", env)
    hit("publish.built")


@pytest.mark.parametrize("value", ["publish.built", "publish.built:explode", "nowhere:kill", ":"])
def test_a_request_that_cannot_be_met_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    ask(monkeypatch, value)
    with pytest.raises(ValueError, match="FLOWFORGE_FAILPOINT"):
        hit("publish.built")


def test_an_unregistered_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a registered failpoint"):
        hit("somewhere.else")
