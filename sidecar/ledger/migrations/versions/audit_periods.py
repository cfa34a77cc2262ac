"""What is sampled under an audit budget, and what closing a period leaves behind."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Adds the tables."""
    op.create_table(
        "audit_populations",
        sa.Column("population_id", sa.String(), nullable=False),
        sa.Column("week", sa.String(), nullable=False),
        sa.Column("ends_at", sa.Double(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("band", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("intent", sa.String(), nullable=False),
        sa.Column("audit_rate", sa.Double(), nullable=False),
        sa.Column("audit_budget", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("population_id", name=op.f("pk_audit_populations")),
    )
    op.create_index(
        op.f("ix_audit_populations_model_week"), "audit_populations", ["model", "week"], unique=False
    )
    op.create_table(
        "audit_members",
        sa.Column("population_id", sa.String(), nullable=False),
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("answer_id", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("draw", sa.Double(), nullable=True),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["answer_id"], ["answers.answer_id"], name=op.f("fk_audit_members_answer_id")
        ),
        sa.ForeignKeyConstraint(
            ["population_id"],
            ["audit_populations.population_id"],
            name=op.f("fk_audit_members_population_id"),
        ),
        sa.PrimaryKeyConstraint("population_id", "decision_id", name=op.f("pk_audit_members")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_audit_members_population_id_draw"), "audit_members", ["population_id", "draw"], unique=False
    )
    op.create_table(
        "audit_periods",
        sa.Column("population_id", sa.String(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("n_drawn", sa.BigInteger(), nullable=False),
        sa.Column("n_sampled", sa.BigInteger(), nullable=False),
        sa.Column("tau", sa.Double(), nullable=False),
        sa.Column("key_ids", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["population_id"],
            ["audit_populations.population_id"],
            name=op.f("fk_audit_periods_population_id"),
        ),
        sa.PrimaryKeyConstraint("population_id", name=op.f("pk_audit_periods")),
    )
