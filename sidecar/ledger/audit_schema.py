"""The tables of the audit samples that have a budget; see `schema` for all others."""

import sqlalchemy as sa

from sidecar.ledger.schema import metadata


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, primary_key=key, nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


audit_populations = sa.Table(
    "audit_populations",
    metadata,
    _text("population_id", key=True),
    _text("week"),
    sa.Column("ends_at", sa.Double, nullable=False),
    _text("model"),
    _text("model_version"),
    _text("source"),
    _text("band"),
    _text("action"),
    _text("intent"),
    sa.Column("audit_rate", sa.Double, nullable=False),
    _count("audit_budget"),
    sa.Column("closed", sa.Boolean, nullable=False),
    sa.Index(None, "model", "week"),
)
"""What is sampled as one: a stratum in an ISO week (UTC). One row as soon as a decision of it is there.

Whoever adds a member shares a lock on the row, and whoever closes the period holds it alone and sets `closed`: so
a decision is counted, or late.
"""

audit_members = sa.Table(
    "audit_members",
    metadata,
    sa.Column(
        "population_id",
        sa.String,
        sa.ForeignKey("audit_populations.population_id"),
        primary_key=True,
        nullable=False,
    ),
    _text("decision_id", key=True),
    sa.Column("answer_id", sa.String, sa.ForeignKey("answers.answer_id"), nullable=False),
    _text("key_id"),
    sa.Column("draw", sa.Double, nullable=True),
    sa.Column("late", sa.Boolean, nullable=False),
    sa.Index(None, "population_id", "draw"),
    sqlite_with_rowid=False,
)
"""One row for each decision of a population, by the answer that came first, so that a retry counts once.

`draw` is NULL where the rate did not draw it. `late` ones came when the period was closed.
"""

audit_periods = sa.Table(
    "audit_periods",
    metadata,
    sa.Column(
        "population_id",
        sa.String,
        sa.ForeignKey("audit_populations.population_id"),
        primary_key=True,
        nullable=False,
    ),
    _count("n"),
    _count("n_drawn"),
    _count("n_sampled"),
    sa.Column("tau", sa.Double, nullable=False),
    sa.Column("key_ids", sa.Text, nullable=False),
    sa.Column("closed_at", sa.Double, nullable=False),
)
"""What the closing of a population's week found. One row, written once and never changed."""
