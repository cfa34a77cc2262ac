"""The tables of the ledger, in portable SQL. The migrations build the same; a test compares the two.

Times are seconds since the epoch. `body` is the encoded record, and the truth; the columns beside it are for
queries.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


_TEXT_ID = b"\xff"
"""Begins what is no hexadecimal id; UTF-8 never contains it."""


def packed(identifier: str) -> bytes:
    """An id as the ledger keeps it: 16 bytes for 32 lower-case hexadecimal digits, and text for anything else."""
    if len(identifier) == 32:
        try:
            raw = bytes.fromhex(identifier)
        except ValueError:
            pass
        else:
            if raw.hex() == identifier:
                return raw
    text = identifier.encode()
    return _TEXT_ID + text if len(text) != 15 else _TEXT_ID + _TEXT_ID + text


def unpacked(kept: bytes) -> str:
    """The id that `packed` made so."""
    return bytes(kept).hex() if len(kept) == 16 else bytes(kept).lstrip(_TEXT_ID).decode()


class Identifier(sa.TypeDecorator[str]):
    """An id of a decision or an answer: each stands in four indexes, where half its size is a third of the row's."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, _: sa.Dialect) -> bytes | None:
        """As `packed`."""
        return None if value is None else packed(value)

    def process_result_value(self, value: bytes | None, _: sa.Dialect) -> str | None:
        """As `unpacked`."""
        return None if value is None else unpacked(value)


def _identifier(
    name: str, *constraints: sa.ForeignKey, key: bool = False, index: bool = False
) -> sa.Column[str]:
    return sa.Column(name, Identifier, *constraints, primary_key=key, nullable=False, index=index)


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, primary_key=key, nullable=False)


def _number(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


decisions = sa.Table(
    "decisions",
    metadata,
    _identifier("decision_id", key=True),
    _text("tenant"),
    _text("model"),
    _text("subject_ref"),
    _number("first_decided_at"),
    _flag("acted"),
    _flag("held"),
    sa.Index(
        None,
        "subject_ref",
        "tenant",
        sqlite_where=sa.text("subject_ref != ''"),
        postgresql_where=sa.text("subject_ref != ''"),
    ),
    sa.Index(None, "first_decided_at", "decision_id"),
    sqlite_with_rowid=False,
)
"""One row for each decision: any answer that may act makes it acted, any that waits for a person held."""

answers = sa.Table(
    "answers",
    metadata,
    _identifier("answer_id", key=True),
    _identifier("decision_id", sa.ForeignKey("decisions.decision_id"), index=True),
    sa.Column("kind_id", sa.BigInteger, nullable=False),
    _number("raw", nullable=True),
    _number("calibrated", nullable=True),
    _flag("drawn"),
    _number("decided_at"),
    sa.Column("body", sa.Text, nullable=False),
)
"""One row for each answer of a decision. What it has in common with others is in `answer_kinds`."""

answer_kinds = sa.Table(
    "answer_kinds",
    metadata,
    sa.Column("kind_id", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("model"),
    _text("model_version"),
    _text("source"),
    _text("category"),
    _text("band"),
    _text("action"),
    _flag("may_act"),
    _flag("enforced"),
    _text("intent"),
    _text("provenance"),
    _number("audit_rate"),
    _flag("mandatory"),
    _text("principal"),
)
"""What many answers have in common, once; the id follows from the content, so that nobody waits for a number."""

provenances = sa.Table(
    "provenances",
    metadata,
    _text("digest", key=True),
    _text("policy_digest"),
    _text("calibrator_digest"),
    _text("sidecar_id"),
    _text("audit_key_id"),
    sa.Column("body", sa.Text, nullable=False),
)
"""What answers share between two swaps; a journal has it before the first answer that refers to it."""

_of = provenances.c
answered = (
    sa.select(
        *(column for column in answers.c if column.name not in ("kind_id", "body")),
        *(column for column in answer_kinds.c if column.name != "kind_id"),
        *(
            sa.func.coalesce(column, "").label(column.name)
            for column in (_of.policy_digest, _of.calibrator_digest, _of.sidecar_id, _of.audit_key_id)
        ),
    )
    .join(answer_kinds, answer_kinds.c.kind_id == answers.c.kind_id)
    .outerjoin(provenances, _of.digest == answer_kinds.c.provenance)
    .subquery("answered")
)
"""Answers with all that is known of them, but for the record itself."""

review_tasks = sa.Table(
    "review_tasks",
    metadata,
    _text("task_id", key=True),
    _text("kind"),
    _text("state"),
    _identifier("decision_id", sa.ForeignKey("decisions.decision_id")),
    _identifier("answer_id", sa.ForeignKey("answers.answer_id")),
    _text("tenant"),
    _text("model"),
    _text("category"),
    _text("principal"),
    _text("skill"),
    _text("criterion"),
    _text("origin_task_id"),
    _text("origin_kind"),
    _flag("mandatory"),
    _flag("blind"),
    _number("rank_at"),
    _number("due_at"),
    _number("created_at"),
    _number("expires_at", nullable=True),
    _number("completed_at", nullable=True),
    _count("fence"),
    sa.Index(None, "decision_id", "state", "rank_at", "task_id"),
    sa.Index(None, "state", "rank_at", "task_id"),
    sa.Index(None, "state", "expires_at"),
)
"""`state` never says LEASED: whether somebody has a task follows from its slots and the time, so that a lease
ends by itself. Whoever changes a task or one of its slots holds a lock on the task's row."""

review_slots = sa.Table(
    "review_slots",
    metadata,
    sa.Column("task_id", sa.String, sa.ForeignKey("review_tasks.task_id"), primary_key=True, nullable=False),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("reviewer", sa.String, nullable=True),
    _count("fence"),
    _number("leased_at", nullable=True),
    _number("lease_until", nullable=True),
    sa.Column("completion", sa.Text, nullable=True),
    sa.UniqueConstraint("task_id", "reviewer"),
)
"""One row for each reviewer that a task asks for; no reviewer has two of one task."""

review_events = sa.Table(
    "review_events",
    metadata,
    sa.Column("event_number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("task_id", sa.String, sa.ForeignKey("review_tasks.task_id"), nullable=False),
    sa.Column("slot", sa.Integer, nullable=False),
    _count("fence"),
    _text("action"),
    _text("principal"),
    _flag("by_person"),
    _number("happened_at"),
    sa.Column("note", sa.Text, nullable=False),
    sa.Index(None, "task_id", "principal"),
)
"""Who did what with a task, and when; only ever added to."""

outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    _identifier("decision_id", sa.ForeignKey("decisions.decision_id"), index=True),
    _text("tenant"),
    _text("task_id"),
    _text("kind"),
    _text("final_class"),
    _text("decided_by"),
    _flag("by_person"),
    _text("shown_digest"),
    _number("decided_at"),
    _number("expires_at", nullable=True),
    sa.Column("explanation", sa.Text, nullable=False),
    sa.Index(None, "tenant", "sequence"),
)
"""How held decisions ended, and recalls; only ever added to, and numbered in the order of commits."""

labels = sa.Table(
    "labels",
    metadata,
    _text("source", key=True),
    _text("event_id", key=True),
    _identifier("decision_id", index=True),  # no foreign key: a label may come first
    _text("about"),
    _text("criterion"),
    _text("channel"),
    sa.Column("task_id", sa.String, nullable=False, index=True),
    _number("observed_at"),
    _number("recorded_at"),
    _text("sidecar_id"),
    sa.Column("body", sa.Text, nullable=False),
)

label_event_reuses = sa.Table(
    "label_event_reuses",
    metadata,
    _text("source", key=True),
    _text("event_id", key=True),
    _text("content_digest", key=True),
    _identifier("decision_id", index=True),
    _number("recorded_at"),
    sa.Column("body", sa.Text, nullable=False),
)
"""Labels whose (source, event_id) was already taken by another one. The first counts; these are evidence."""

artifacts = sa.Table(
    "artifacts",
    metadata,
    _text("digest", key=True),
    _text("kind"),
    sa.Column("body", sa.Text, nullable=False),
)

in_force = sa.Table(
    "in_force",
    metadata,
    sa.Column("row_id", sa.Integer, primary_key=True, autoincrement=True),
    _text("sidecar_id"),
    _text("slot"),
    _number("since"),
    _text("digest"),
    _text("name"),
    _text("version"),
    sa.UniqueConstraint("sidecar_id", "slot", "since", "digest", "name", "version"),
)

suspensions = sa.Table(
    "suspensions",
    metadata,
    _text("suspension_id", key=True),
    _text("event", key=True),
    sa.Column("happened_at", sa.Double, primary_key=True),
    _text("sidecar_id", key=True),
    sa.Column("body", sa.Text, nullable=False),
)
"""One row for each time that something was suspended, or resumed."""

strata = sa.Table(
    "strata",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    _text("sidecar_id", key=True),
    _text("model", key=True),
    _text("model_version", key=True),
    _text("source", key=True),
    _text("band", key=True),
    _text("action", key=True),
    _text("intent", key=True),
    sa.Column("audit_rate", sa.Double, primary_key=True),
    _count("n"),
    _count("n_drawn"),
    _count("n_acted"),
    sa.Index(None, "model", "day"),
)
"""Exact counts of answers. Each sidecar counts in rows of its own, so that none waits for another."""

governance = sa.Table(
    "governance",
    metadata,
    _text("event_id", key=True),
    _text("kind"),
    _text("subject"),
    _number("happened_at"),
    _text("sidecar_id"),
    sa.Column("body", sa.Text, nullable=False),
    sa.Index(None, "happened_at", "event_id"),
)
"""Who changed what decides. One row for each event, by whichever sidecar told of it first."""

shadow_counts = sa.Table(
    "shadow_counts",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    *(_text(name, key=True) for name in ("sidecar_id", "run_id", "model", "champion", "challenger")),
    *(_text(name, key=True) for name in ("band", "shadow_band")),
    _count("n"),
    sa.Index(None, "model", "day"),
)
"""Where challengers would have put answers. Each process counts its day in rows of its own, which only grow."""

journal_positions = sa.Table(
    "journal_positions",
    metadata,
    _text("sidecar_id", key=True),
    _text("journal_id", key=True),
    _count("segment"),
    _count("byte_offset"),
    _count("sequence"),
)
"""Up to where each journal has been taken in; written in the transaction that takes its records in."""

set_aside = sa.Table(
    "set_aside",
    metadata,
    _text("sidecar_id", key=True),
    _text("journal_id", key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    _number("set_aside_at"),
)
"""Records that could not be taken in, byte for byte, and why."""

watch_states = sa.Table(
    "watch_states",
    metadata,
    _text("model", key=True),
    _text("stream", key=True),
    _count("version"),
    _number("updated_at"),
    sa.Column("body", sa.Text, nullable=False),
)
"""What the alarms remember; written by `training watch` alone, and only over the version that it read."""

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
    _identifier("decision_id", key=True),
    _identifier("answer_id", sa.ForeignKey("answers.answer_id")),
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
