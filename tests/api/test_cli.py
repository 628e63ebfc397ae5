"""`flowforge token` and `flowforge serve`: what they accept and what they print."""

import subprocess
import sys

import pytest

from api.auth import Verifier
from api.keyring import KeyRing
from api.scopes import SCOPES
from store.settings import Settings
from tests.support.flowforge import ROOT, child_environment, flowforge


def invoke(module, *arguments, home, **environment):
    return subprocess.run(
        [sys.executable, "-m", f"api.{module}", *arguments],
        cwd=ROOT, env=child_environment(home, environment), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("role", ["user", "service", "analyst", "operator"])
def test_a_printed_token_is_accepted_with_the_scopes_of_its_role(tmp_path, role):
    result = invoke("token", "42", "--role", role, home=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    settings = Settings(home=tmp_path)
    principal = Verifier(settings, KeyRing(settings)).verify(result.stdout.strip())
    assert (principal.subject, principal.scopes) == ("42", SCOPES[role])


def test_a_token_can_be_narrowed_to_a_scope(tmp_path):
    result = invoke("token", "42", "--scope", "feed:read", home=tmp_path)
    settings = Settings(home=tmp_path)
    assert Verifier(settings, KeyRing(settings)).verify(result.stdout.strip()).scopes == {"feed:read"}


@pytest.mark.parametrize("arguments", [("ada",), ("42", "--scope", "metrics:read"), ("42", "--role", "admin"), ()])
def test_a_token_that_makes_no_sense_is_refused_with_the_reason(tmp_path, arguments):
    result = invoke("token", *arguments, home=tmp_path)
    assert result.returncode == 2
    assert result.stdout.count(".") != 2


def test_the_command_prints_the_same_token_as_the_api(tmp_path):
    result = flowforge("token", "42", "--ttl", "60", home=tmp_path)
    settings = Settings(home=tmp_path)
    assert Verifier(settings, KeyRing(settings)).verify(result.stdout.strip()).subject == "42"
    assert flowforge("token", "42", "--ttl", "0", home=tmp_path).returncode == 2


def test_production_has_no_demo_tokens(tmp_path):
    result = invoke("token", "42", home=tmp_path, FLOWFORGE_ENV="production")
    assert result.returncode == 1
    assert "AUTH__JWKS" in result.stderr


def test_serve_does_not_start_without_keys_in_production(tmp_path):
    result = invoke("server", home=tmp_path, FLOWFORGE_ENV="production")
    assert result.returncode == 1
    assert "AUTH__JWKS" in result.stderr
