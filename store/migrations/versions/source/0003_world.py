"""Table ``flowforge.world``: which world a database of ours was filled from; empty in any other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "flowforge"
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "world",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("as_of", INSTANT, nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("loaded_at", INSTANT, nullable=False, server_default=sa.text("now()")),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("world", schema=SCHEMA)
