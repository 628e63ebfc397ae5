"""`flowforge generations`: what it prints can be copied, and what it refuses is said in words (06.1)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.flowforge import flowforge, live
from tests.support.serving import AS_OF, small_generation

HOUR = timedelta(hours=1)
ABSENT = "20200101T000000000000Z-000000000000"


@pytest.fixture
def made(tmp_path):
    return [small_generation(tmp_path, AS_OF + n * HOUR).generation for n in range(2)]


def manifest_of(home, generation):
    return home / "generations" / generation / "_manifest.json"


@pytest.mark.parametrize("columns", ["80", "60", "40"])
def test_a_listed_id_is_whole_however_narrow_the_terminal(tmp_path, made, columns):
    done = flowforge("generations", "list", home=tmp_path, COLUMNS=columns)
    assert set(made) <= set(done.stdout.split())


@pytest.mark.parametrize("command", ["verify", "show"])
@pytest.mark.parametrize("absent", ["nope", ABSENT, "../generations"])
def test_a_generation_that_is_not_there_is_said_with_where_to_look(tmp_path, made, command, absent):
    done = flowforge("generations", command, absent, home=tmp_path)
    assert done.returncode == 1
    assert f"generation {absent} does not stand here; `flowforge generations list`" in done.stderr
    assert "Error" not in done.stderr


BROKEN = [(None, "is not there"), (b"{", "is not JSON (line 1"), (b"{}", "lacks 'manifest_sha256'"),
          (b"[]", "does not hold what it should")]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), BROKEN)
def test_a_broken_manifest_is_said_in_words_and_with_what_to_do(tmp_path, made, content, said):
    path = manifest_of(tmp_path, made[1])
    path.unlink() if content is None else path.write_bytes(content)
    for arguments in (("verify",), ("verify", made[1]), ("show", made[1])):
        done = flowforge("generations", *arguments, home=tmp_path)
        assert done.returncode == 1
        assert f"{path}: the manifest {said}" in done.stderr
        assert "Error" not in done.stderr
    assert "flowforge generations rollback" in flowforge("generations", "verify", home=tmp_path).stderr


def test_a_standing_that_cannot_be_read_is_said_in_words(tmp_path, made):
    (tmp_path / "generations" / "_standing.json").write_text("{")
    for command in ("list", "show", "rollback", "prune"):
        done = flowforge("generations", command, home=tmp_path)
        assert (done.returncode, "_standing.json: is not JSON" in done.stderr) == (1, True), done.stderr


def test_a_rollback_says_which_generations_cannot_be_served_and_why(tmp_path, made):
    (tmp_path / "generations" / made[0] / "feed.arrow").unlink()
    done = flowforge("generations", "rollback", home=tmp_path)
    assert done.returncode == 1
    assert f"generation {made[0]} cannot be served" in done.stderr
    assert "feed.arrow" in done.stderr
    assert live(tmp_path) == made[1]


def test_a_rollback_past_a_corrupt_generation_says_what_it_passed_over(tmp_path, made):
    newest = small_generation(tmp_path, AS_OF + 2 * HOUR).generation
    (tmp_path / "generations" / made[1] / "feed.arrow").unlink()
    done = flowforge("generations", "rollback", home=tmp_path)
    assert done.returncode == 0
    assert f"{made[0]} is live" in done.stdout
    assert f"generation {made[1]} cannot be served" in done.stderr
    assert newest not in done.stderr
