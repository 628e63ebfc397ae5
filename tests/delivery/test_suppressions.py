"""Clicks on unsubscribe links reach the ledger: once, whatever happens on the way (04.5, 06.2)."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from store import ledger
from store.ledger import (
    SUPPRESSIONS,
    VERSION_TABLE,
    Bookkeeper,
    LedgerAway,
    book_unsubscribes,
    ledger_url,
    migrate_ledger,
    migrate_ledger_down,
)
from store.payloads import INBOX, Unsubscribe, leave_note
from store.settings import LedgerSettings, Settings, SourceSettings
from store.source import embedded_server, transaction

NOWHERE = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2"
AT = datetime(2026, 11, 22, 14, 10, 3, 5, tzinfo=UTC)
CLICKS = (Unsubscribe(1, "email"), Unsubscribe(1, "push"), Unsubscribe(2, "email", "social"))


@pytest.fixture
def url(new_database):
    made = new_database(migrated=False)
    migrate_ledger(made)
    return made


@pytest.fixture
def home(tmp_path):
    for asked in CLICKS:
        leave_note(tmp_path, asked, AT)
    return tmp_path


def rows(url):
    with transaction(url) as connection:
        found = connection.execute(sa.select(SUPPRESSIONS)).all()
    return sorted((r.user_id, r.channel, r.category or "", r.reason, r.created_at) for r in found)


BOOKED = [(1, "email", "", "unsubscribed", AT), (1, "push", "", "unsubscribed", AT),
          (2, "email", "social", "unsubscribed", AT)]  # fmt: skip


def test_the_migrations_build_the_table_as_it_is_declared_and_go_down(new_database):
    url = new_database(migrated=False)
    for _ in range(2):
        migrate_ledger(url)
        with transaction(url) as connection:
            options = {"version_table": VERSION_TABLE, "version_table_schema": "flowforge", "include_schemas": True}
            assert compare_metadata(MigrationContext.configure(connection, opts=options), ledger.metadata) == []
        migrate_ledger_down(url)
        with transaction(url) as connection:
            assert not sa.inspect(connection).has_table("suppressions", schema="flowforge")


def test_the_ledger_may_lie_in_the_apps_own_database(fresh_database):
    migrate_ledger(fresh_database)
    with transaction(fresh_database) as connection:
        assert sa.inspect(connection).has_table("users", schema="app")
        assert sa.inspect(connection).has_table("suppressions", schema="flowforge")


def test_the_ledger_is_where_the_setting_says(postgres_server):
    settings = Settings(home=postgres_server.folder.parent, ledger=LedgerSettings(url="postgres://u@h/ledger"))
    assert ledger_url(settings) == "postgresql+psycopg://u@h/ledger"
    assert "/flowforge?" in ledger_url(settings.model_copy(update={"ledger": LedgerSettings()}))


def test_every_click_is_booked_and_its_note_removed(url, home):
    assert book_unsubscribes(home, url) == 3
    assert rows(url) == BOOKED
    assert list((home / INBOX).iterdir()) == []
    assert book_unsubscribes(home, url) == 0


def test_a_home_nobody_clicked_in_has_nothing_to_book(url, tmp_path):
    assert book_unsubscribes(tmp_path, url) == 0


def test_a_second_click_after_the_booking_changes_nothing(url, home):
    book_unsubscribes(home, url)
    leave_note(home, CLICKS[0], AT + timedelta(days=1))
    book_unsubscribes(home, url)
    assert rows(url) == BOOKED


def test_a_crash_between_commit_and_removal_books_nothing_twice(url, home, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", lambda *_a, **_k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            book_unsubscribes(home, url)
    assert rows(url) == BOOKED
    assert len(list((home / INBOX).iterdir())) == 3
    assert book_unsubscribes(home, url) == 3
    assert rows(url) == BOOKED


def test_a_ledger_that_is_down_keeps_every_note(home):
    with pytest.raises(sa.exc.OperationalError):
        book_unsubscribes(home, NOWHERE)
    assert len(list((home / INBOX).iterdir())) == 3


def test_two_who_book_at_once_book_once(url, home):
    workers = [threading.Thread(target=book_unsubscribes, args=(home, url)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert rows(url) == BOOKED
    assert list((home / INBOX).iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 9}', b'{"format": 1, "user_id": "x"}'])
def test_a_note_that_cannot_be_read_is_set_aside_and_stops_nobody(url, home, content, caplog):
    bad = home / INBOX / "unsubscribe-bad.json"
    bad.write_bytes(content)
    assert book_unsubscribes(home, url) == 3
    assert rows(url) == BOOKED
    assert [p.name for p in (home / INBOX).iterdir()] == ["unsubscribe-bad.refused"]
    assert "set aside" in caplog.text


def test_a_draft_of_a_killed_writer_is_swept_and_a_young_one_is_not(url, home):
    old, young = home / INBOX / ".a.json.1.tmp", home / INBOX / ".b.json.2.tmp"
    for draft in (old, young):
        draft.write_bytes(b"{")
    os.utime(old, (time.time() - 7200,) * 2)
    book_unsubscribes(home, url)
    assert list((home / INBOX).iterdir()) == [young]


def test_the_tailer_books_what_was_left_into_a_ledger_it_migrates_itself(new_database, home):
    url = new_database(migrated=False)
    with Bookkeeper(Settings(home=home, ledger=LedgerSettings(url=url))) as bookkeeper:
        assert bookkeeper.book() == len(CLICKS)
    assert rows(url) == BOOKED
    assert not list((home / INBOX).glob("*.json"))


def test_an_empty_inbox_asks_no_server(tmp_path):
    with Bookkeeper(Settings(home=tmp_path, ledger=LedgerSettings(url=NOWHERE))) as bookkeeper:
        assert bookkeeper.book() == 0
    with Bookkeeper(Settings(home=tmp_path)) as bookkeeper:
        assert bookkeeper.book() == 0
    assert not (tmp_path / "postgres").exists()


def test_without_a_ledger_of_its_own_the_embedded_server_is_started_for_it_though_the_source_lies_elsewhere(home):
    settings = Settings(home=home, source=SourceSettings(url=NOWHERE))
    with Bookkeeper(settings) as bookkeeper:
        assert bookkeeper.book() == len(CLICKS)
        assert rows(ledger_url(settings)) == BOOKED
        leave_note(home, Unsubscribe(3, "push"), AT)
        assert bookkeeper.book() == 1
    assert embedded_server(settings).running is None
    with embedded_server(settings), Bookkeeper(settings) as bookkeeper:
        assert bookkeeper.book() == 0
        assert len(rows(ledger_url(settings))) == len(CLICKS) + 1


def test_a_ledger_that_is_away_is_said_once_and_again_at_intervals_by_the_name_of_its_setting(home, caplog):
    settings = Settings(home=home, ledger=LedgerSettings(url=NOWHERE))
    with Bookkeeper(settings) as bookkeeper:
        for _ in range(5):
            bookkeeper.book_or_say()
    (said,) = [record.getMessage() for record in caplog.records if record.name == "flowforge.ledger"]
    assert "FLOWFORGE_LEDGER__URL" in said
    assert f"3 kept in {home / INBOX}" in said
    assert "\n" not in said
    with Bookkeeper(settings, repeat_seconds=0) as bookkeeper:
        bookkeeper.book_or_say()
        bookkeeper.book_or_say()
    assert len([record for record in caplog.records if record.name == "flowforge.ledger"]) == 3


def test_an_embedded_server_that_cannot_be_started_is_said_with_the_setting_that_spares_it(home, tmp_path):
    settings = Settings(home=home, source=SourceSettings(url=NOWHERE, pg_bin=tmp_path / "none"))
    with Bookkeeper(settings) as bookkeeper, pytest.raises(LedgerAway, match="FLOWFORGE_LEDGER__URL is not set"):
        bookkeeper.book()
    assert len(list((home / INBOX).glob("*.json"))) == 3
