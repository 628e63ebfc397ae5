"""Who must not be written to, and why (spec 04.5)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "ledger_0001"
down_revision = None
branch_labels = ("ledger",)
depends_on = None

SCHEMA = "flowforge"


def upgrade() -> None:
    op.create_table(
        "suppressions",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("reason IN ('unsubscribed', 'bounced', 'complained')", name="ck_suppressions_reason"),
        schema=SCHEMA,
    )
    one_each: list[str | sa.TextClause] = ["user_id", "channel", sa.text("coalesce(category, '')"), "reason"]
    op.create_index("ux_suppressions", "suppressions", one_each, unique=True, schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("suppressions", schema=SCHEMA)
