"""The tailer against a real source: what it finds, what it keeps, and what it survives (spec 06.2)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import sqlalchemy as sa

from store.erasure import remember
from store.home import HomeRecord, write_home
from store.processes import wait_until_gone
from store.revocations import CURRENT, FOLDER, Kind, micros, read_file
from store.settings import RevocationSettings, Settings, SourceSettings
from store.source import libpq_url
from store.tailer import Fact, Remembered, Tailer, TailerRuns, only_tailer
from tests.support.flowforge import ROOT, child_environment, flowforge
from tests.support.serving import small_generation
from tests.support.source import run

PAST = "now() - interval '1 year'"


def people(*ids):
    return ", ".join(
        f"({i}, 'u{i}', 'U', 'UTC', 'en', 'active', 'public', 'public', true, true, {PAST}, {PAST})" for i in ids
    )


USERS = (
    "INSERT INTO app.users (id, handle, display_name, time_zone, locale, status, profile_visibility,"
    " friend_list_visibility, is_discoverable, wants_recommendations, created_at, updated_at)"
    f" VALUES {people(*range(1, 9))}"
)
POST = (
    "INSERT INTO app.activities (id, actor_id, verb, object_type, object_id, object_owner_id, audience,"
    " object_audience, created_at) VALUES ({id}, {actor}, 'post', 'post', {id}, {actor}, 'public', 'public', {at})"
)


@pytest.fixture
def now():
    """When the test began: the source's clock goes on meanwhile."""
    return datetime.now(UTC)


@pytest.fixture
def home(tmp_path, now):
    """A home with a generation an hour old."""
    small_generation(tmp_path, now - timedelta(hours=1))
    return tmp_path


@pytest.fixture
def source(fresh_database):
    run(fresh_database, USERS, *(POST.format(id=i, actor=i, at=PAST) for i in range(1, 9)))
    return fresh_database


def settings_of(home, source, **more):
    return Settings(home=home, source=SourceSettings(url=source), revocations=RevocationSettings(**more))


def known(home):
    """(kind, subject, other, detail) of every entry in the file, in order."""
    columns = read_file(home / FOLDER / CURRENT).columns
    return sorted((Kind(k).name, a, b, d) for k, a, b, d in zip(*(c.tolist() for c in columns[:4]), strict=True))


CHANGES = {
    "INSERT INTO app.blocks VALUES (1, 2, now())": ("BLOCKED", 1, 2, 0),
    f"INSERT INTO app.friendships VALUES (1, 3, {PAST}, now())": ("UNFRIENDED", 1, 3, 0),
    "UPDATE app.activities SET deleted_at = now() WHERE id = 4": ("DELETED", 4, 0, 0),
    "UPDATE app.activities SET audience = 'friends', updated_at = now() WHERE id = 5": ("NARROWED", 5, 5, 3 + 2),
    f"INSERT INTO app.memberships VALUES (90, 6, 1, {PAST}, now())": ("LEFT", 6, 90, 0),
    "UPDATE app.users SET status = 'suspended', updated_at = now() WHERE id = 7": ("GONE", 7, 0, 0),
    "INSERT INTO app.erasure_requests VALUES (8, now())": ("ERASED", 8, 0, 0),
    "INSERT INTO app.mutes VALUES (1, 4, 'all', now(), null)": ("MUTED", 1, 4, 0),
    "INSERT INTO app.mutes VALUES (1, 5, 'reshares', now(), now() + interval '1 day')": ("RESHARES_MUTED", 1, 5, 0),
    "INSERT INTO app.feed_hides VALUES (1, 'comment', 77, now())": ("HIDDEN", 1, 77, 1),
    "INSERT INTO app.recommendation_dismissals VALUES (1, 6, now(), 1)": ("DISMISSED", 1, 6, 0),
    "INSERT INTO app.friend_requests VALUES (1, 1, 7, 'pending', now(), null)": ("REQUESTED", 1, 7, 0),
}
NO_CHANGES = (
    f"INSERT INTO app.blocks VALUES (3, 4, {PAST})",
    f"INSERT INTO app.friendships VALUES (2, 3, {PAST}, now() + interval '1 day')",
    f"INSERT INTO app.memberships VALUES (91, 6, 1, {PAST}, now())",
    "UPDATE app.activities SET body = '{\"a\": 1}', updated_at = now() WHERE id = 6",
    "UPDATE app.users SET display_name = 'New', updated_at = now() WHERE id = 6",
    "INSERT INTO app.mutes VALUES (2, 4, 'all', now(), now() - interval '1 minute')",
    "INSERT INTO app.friend_requests VALUES (2, 2, 7, 'declined', now(), now())",
)
GROUPS = (
    f"INSERT INTO app.groups VALUES (90, 'g', 'group', true, {PAST})",
    f"INSERT INTO app.groups VALUES (91, 'h', 'group', false, {PAST})",
)


def test_every_kind_of_revocation_is_found_and_nothing_else(home, source):
    tailer = Tailer(settings_of(home, source))
    run(source, *GROUPS, *NO_CHANGES)
    tailer.read()
    assert known(home) == []
    run(source, *CHANGES)
    assert tailer.read().has_changed
    assert known(home) == sorted(CHANGES.values())
    assert not tailer.read().has_changed
    fresh = Tailer(settings_of(home, source))
    fresh.read()
    assert known(home) == sorted(CHANGES.values()), "a tailer that starts anew finds the same"


def test_the_least_privileged_role_is_enough(home, source, postgres_server):
    database = sa.make_url(source).database
    settings = settings_of(home, postgres_server.url(database, "reader"))
    with psycopg.connect(libpq_url(postgres_server.url("postgres", "superuser")), autocommit=True) as admin:
        admin.execute(f"GRANT CONNECT ON DATABASE {database} TO flowforge_reader")
    run(source, "INSERT INTO app.blocks VALUES (1, 2, now())")
    Tailer(settings).read()
    assert known(home) == [("BLOCKED", 1, 2, 0)]


def test_a_row_that_is_committed_late_is_found(home, source):
    tailer = Tailer(settings_of(home, source))
    with psycopg.connect(libpq_url(source)) as late:
        late.execute("INSERT INTO app.blocks VALUES (1, 2, now() - interval '4 minutes')")
        tailer.read()
        assert known(home) == []
        late.commit()
    tailer.read()
    assert known(home) == [("BLOCKED", 1, 2, 0)]
    at = int(read_file(home / FOLDER / CURRENT).columns[4][0])
    assert at > micros(datetime.now(UTC)), "a snapshot between its time and its commit did not see it"


def test_an_instant_at_the_end_of_time_does_not_stop_it(home, source):
    run(source, "INSERT INTO app.blocks VALUES (1, 2, 'infinity')",
        "INSERT INTO app.erasure_requests VALUES (8, '-infinity')")  # fmt: skip
    Tailer(settings_of(home, source)).read()
    assert known(home) == [("BLOCKED", 1, 2, 0), ("ERASED", 8, 0, 0)]


def test_what_every_kept_generation_knows_is_forgotten_but_never_an_erasure(home, source, now):
    tailer = Tailer(settings_of(home, source, overlap_seconds=0))
    run(source, "INSERT INTO app.blocks VALUES (1, 2, now() - interval '50 minutes')",
        f"INSERT INTO app.erasure_requests VALUES (8, {PAST})")  # fmt: skip
    remember(home, 3, now - timedelta(days=900))
    tailer.read()
    assert known(home) == [("BLOCKED", 1, 2, 0), ("ERASED", 3, 0, 0), ("ERASED", 8, 0, 0)]
    for minutes in (40, 30, 20):
        small_generation(home, now - timedelta(minutes=minutes))
    assert tailer.read().since == now - timedelta(minutes=40)
    assert known(home) == [("ERASED", 3, 0, 0), ("ERASED", 8, 0, 0)]


def test_an_older_generation_that_is_brought_back_is_covered_again(home, source, tmp_path_factory, now):
    run(source, "INSERT INTO app.blocks VALUES (1, 2, now() - interval '90 minutes')")
    tailer = Tailer(settings_of(home, source))
    tailer.read()
    assert known(home) == []
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    older = small_generation(elsewhere, now - timedelta(hours=2)).generation
    (elsewhere / "generations" / older).rename(home / "generations" / older)
    assert tailer.read().since == now - timedelta(hours=2)
    assert known(home) == [("BLOCKED", 1, 2, 0)]


def test_a_world_looked_at_in_the_future_has_revocations_too(tmp_path, source):
    as_of = datetime.now(UTC) + timedelta(days=300)
    write_home(tmp_path, HomeRecord(world="w", as_of=as_of, origin="test"))
    small_generation(tmp_path, as_of)
    run(source, "INSERT INTO flowforge.world VALUES ('w', now(), '', '', '', now() - interval '1 minute')",
        "INSERT INTO app.blocks VALUES (1, 2, now())")  # fmt: skip
    Tailer(settings_of(tmp_path, source)).read()
    columns = read_file(tmp_path / FOLDER / CURRENT).columns
    assert columns[4].tolist() == [micros(as_of) + 1]


def test_a_later_fact_holds_longer_and_never_wider():
    known = Remembered(overlap=0)
    assert known.learn(Fact(Kind.NARROWED, 5, 1, 1, 100), 1000)
    assert not known.learn(Fact(Kind.NARROWED, 5, 1, 1, 100), 2000)
    first = next(known.entries())
    assert known.learn(Fact(Kind.NARROWED, 5, 1, 5, 3000), 4000)
    second = next(known.entries())
    assert (second.detail, second.at > first.at) == (1, True)
    assert known.forget(second.at - 1) == 0
    assert known.forget(second.at) == 1


def test_one_tailer_a_home_and_a_second_stands_by(home):
    stop, entered = threading.Event(), threading.Event()

    def stand_by():
        with only_tailer(home, wait=stop):
            entered.set()

    with only_tailer(home):
        with pytest.raises(TailerRuns, match=str(os.getpid())), only_tailer(home):
            pass
        other = threading.Thread(target=stand_by)
        other.start()
        assert not entered.wait(0.7)
    assert entered.wait(10)
    other.join()


def test_the_command_reads_once_and_says_what_it_found(home, source):
    run(source, "INSERT INTO app.blocks VALUES (1, 2, now())")
    done = flowforge("revocations", "--once", home=home, FLOWFORGE_SOURCE__URL=source)
    assert (done.returncode, "1 revocation(s) since" in done.stdout) == (0, True), done.stderr
    away = flowforge("revocations", "--once", home=home, FLOWFORGE_SOURCE__URL="postgresql://x@127.0.0.1:1/x")
    assert (away.returncode, "the source cannot be read" in away.stderr) == (69, True)


def started(home, source, *options):
    command = [sys.executable, "-m", "pipelines.cli", "revocations", *options]
    given = {"FLOWFORGE_SOURCE__URL": source, "FLOWFORGE_REVOCATIONS__POLL_SECONDS": "0.2"}
    return subprocess.Popen(
        command, cwd=ROOT, env=child_environment(home, given), stderr=subprocess.PIPE, text=True, bufsize=1
    )


def until(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_goes_on_over_an_outage_of_the_source_and_stops_at_sigterm(home, new_database):
    source = new_database()
    run(source, USERS)
    path = home / FOLDER / CURRENT
    name = sa.make_url(source).database
    admin = libpq_url(sa.make_url(source).set(database="postgres").render_as_string(hide_password=False))
    process = started(home, source)
    try:
        until(path.exists, process)
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} RENAME TO {name}_away")
            while "failed, again in" not in process.stderr.readline():
                pass
            connection.execute(f"ALTER DATABASE {name}_away RENAME TO {name}")
        run(source, "INSERT INTO app.blocks VALUES (1, 2, now())")
        until(lambda: known(home) == [("BLOCKED", 1, 2, 0)], process)
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=30)[1]
        assert process.returncode == 0, rest
        assert "the source is read again" in rest
    finally:
        process.kill()
        process.wait()


def test_it_ends_with_the_process_that_started_it(home, source):
    script = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-m', 'pipelines.cli', 'revocations',"
        " '--parent', str(__import__('os').getpid())]); print(p.pid, flush=True); time.sleep(100)"
    )
    environment = child_environment(home, {"FLOWFORGE_SOURCE__URL": source})
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        try:
            child = int(parent.stdout.readline())
            until((home / FOLDER / CURRENT).exists, parent)
        finally:
            parent.kill()
    assert wait_until_gone(child, 60), "the tailer outlives its parent"
