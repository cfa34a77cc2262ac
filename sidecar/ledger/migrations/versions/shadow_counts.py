"""How the challenger would have decided."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Adds the tables."""
    op.create_table(
        "shadow_counts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("champion", sa.String(), nullable=False),
        sa.Column("challenger", sa.String(), nullable=False),
        sa.Column("band", sa.String(), nullable=False),
        sa.Column("shadow_band", sa.String(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "day",
            "sidecar_id",
            "run_id",
            "model",
            "champion",
            "challenger",
            "band",
            "shadow_band",
            name=op.f("pk_shadow_counts"),
        ),
    )
    op.create_index(op.f("ix_shadow_counts_model_day"), "shadow_counts", ["model", "day"], unique=False)
