"""Alembic's environment: runs on the connection that ``store.source`` hands over, in its transaction.

The chain of the app's database lies in ``versions/source``, the ledger's in ``versions/ledger``. There is no
``alembic.ini``: migrations are run by ``flowforge source migrate`` and by the tests, always through
``store.source`` and ``store.ledger``.
"""

from __future__ import annotations

from typing import Any

from alembic import context

VERSION_SCHEMA = "flowforge"


def run() -> None:
    """Run the chain on the connection in ``config.attributes``."""
    attributes: dict[str, Any] = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        version_table=attributes.get("version_table", "alembic_version"),
        version_table_schema=VERSION_SCHEMA,
    )
    context.run_migrations()


run()
