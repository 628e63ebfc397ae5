"""A run ends with what is served now, and why it is not what was computed; failures are sentences (06.1, 08.1)."""

from __future__ import annotations

from datetime import UTC, datetime

from pipelines.cli.console import out
from pipelines.cli.run import report
from pipelines.refresh import refresh
from store.generations import rollback
from store.settings import Settings, SourceSettings
from tests.support.source import run


def said(done):
    with out.capture() as captured:
        report(done)
    return captured.get().splitlines()


def test_a_run_says_what_is_live_what_was_already_and_what_may_not_be(tmp_path, fresh_database):
    settings = Settings(home=tmp_path / "home", source=SourceSettings(url=fresh_database))
    first = refresh(settings)
    assert said(first)[-1] == f"generation {first.generation} is live"
    again = refresh(settings, as_of=datetime.now(UTC))
    assert again.generation == first.generation
    assert said(again)[-1] == f"generation {first.generation} is live already: nothing that is served changed"

    second = refresh(settings)
    rollback(settings.home, reason="wrong counts")
    kept = refresh(settings, as_of=datetime.now(UTC))
    assert (kept.is_success, kept.generation) == (True, None)
    assert said(kept)[-1].startswith(
        f"not served generation {second.generation} is not live: quarantined: wrong counts; what was served before"
    )

    run(fresh_database, "ALTER TABLE app.users DROP COLUMN handle")
    failed = refresh(settings)
    (line,) = [line for line in said(failed) if line.startswith("failed")]
    assert "users.handle" in line
    assert not any(path in line for path in ("store.", "dagster", "SchemaDrift"))
