"""Who changed what is in force."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Adds the tables."""
    op.create_table(
        "governance",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("happened_at", sa.Double(), nullable=False),
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_governance")),
    )
    op.create_index(
        op.f("ix_governance_happened_at_event_id"), "governance", ["happened_at", "event_id"], unique=False
    )
