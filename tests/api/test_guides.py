"""Every example of the guides is run: the shell ones against the real server, the JSON ones against the contract."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import httpx
import pytest

from api.auth import demo_token
from store.settings import Settings
from tests.api.test_access import DIGEST
from tests.support.api import READER, ROOT, assert_shape, frames
from tests.support.server import api_server
from tests.support.serving import AS_OF, small_generation

GUIDES = ("api.md", "client-guide.md", "mobile.md")
BLOCK = re.compile(r"^```(bash|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(kind):
    return [
        pytest.param(text, id=f"{guide}-{n}")
        for guide in GUIDES
        for n, (found, text) in enumerate(BLOCK.findall((ROOT / "docs" / guide).read_text()))
        if found == kind
    ]


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Runs a guide's commands as its reader would, with the variables the guide speaks of."""
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    home = tmp_path_factory.mktemp("guides")
    small_generation(home, AS_OF, salt="before", frames=frames())
    with api_server(home) as server:
        bearer = {"authorization": f"Bearer {demo_token(Settings(home=home), READER)}"}
        page = httpx.get(f"{server.url}/v2/me/feed?limit=3", headers=bearer)
        known = {
            "BASE": server.url,
            "TOKEN": demo_token(Settings(home=home), READER),
            "ETAG": page.headers["etag"],
            "CURSOR": page.json()["next_cursor"],
            "GENERATION": page.json()["generation"],
            "DIGEST": DIGEST,
            "FLOWFORGE_HOME": str(home),
        }

        def run(commands):
            flowforge = f'flowforge() {{ "{sys.executable}" -m "api.$1" "${{@:2}}"; }}\n'
            said = commands.replace("http://127.0.0.1:8000", server.url).replace("token 42", f"token {READER}")
            script = "set -eu\n" + flowforge + said.replace("curl ", "curl --write-out '\\n%{http_code}\\n' ")
            command = ["bash", "-c", script]
            environment = os.environ | known
            return subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60
            ).stdout

        yield run


@pytest.mark.parametrize("commands", examples("bash"))
def test_an_example_of_a_command_works(shell, commands):
    said = shell(commands)
    status = said.rstrip().rpartition("\n")[2]
    assert status == ("304" if "If-None-Match" in commands else "200"), said


@pytest.mark.parametrize("text", examples("json"))
def test_an_example_of_an_answer_has_the_shape_of_the_contract(text):
    value = json.loads(text)
    assert_shape("Event" if "type" in value else "FeedPage", value)


def test_every_guide_has_examples():
    assert {p.id.rpartition("-")[0] for p in examples("bash")} == set(GUIDES)
