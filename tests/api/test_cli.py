"""`flowforge token` and `flowforge serve`: what they accept and what they print."""

import pytest
import typer
from typer.testing import CliRunner

from api.auth import Verifier
from api.keyring import KeyRing
from api.scopes import SCOPES
from pipelines.cli.serve import serve
from pipelines.cli.token import token
from store.settings import Settings


def invoke(command, *arguments, home, **environment):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(arguments), env={"FLOWFORGE_HOME": str(home), **environment})


@pytest.mark.parametrize("role", ["user", "service", "analyst", "operator"])
def test_a_printed_token_is_accepted_with_the_scopes_of_its_role(tmp_path, role):
    result = invoke(token, "42", "--role", role, home=tmp_path)
    assert result.exit_code == 0, result.output
    settings = Settings(home=tmp_path)
    principal = Verifier(settings, KeyRing(settings)).verify(result.stdout.strip())
    assert (principal.subject, principal.scopes) == ("42", SCOPES[role])


def test_a_token_can_be_narrowed_to_a_scope(tmp_path):
    result = invoke(token, "42", "--scope", "feed:read", home=tmp_path)
    settings = Settings(home=tmp_path)
    assert Verifier(settings, KeyRing(settings)).verify(result.stdout.strip()).scopes == {"feed:read"}


@pytest.mark.parametrize(
    "arguments", [("ada",), ("42", "--scope", "metrics:read"), ("42", "--role", "admin"), ("42", "--ttl", "0"), ()]
)
def test_a_token_that_makes_no_sense_is_refused_with_the_reason(tmp_path, arguments):
    result = invoke(token, *arguments, home=tmp_path)
    assert result.exit_code == 2
    assert result.stdout.count(".") != 2


def test_production_has_no_demo_tokens(tmp_path):
    result = invoke(token, "42", home=tmp_path, FLOWFORGE_ENV="production")
    assert result.exit_code == 1
    assert "AUTH__JWKS" in result.output.replace("\n", "")


def test_serve_does_not_start_without_keys_in_production(tmp_path):
    result = invoke(serve, home=tmp_path, FLOWFORGE_ENV="production")
    assert result.exit_code == 1
    assert "AUTH__JWKS" in result.output.replace("\n", "")
