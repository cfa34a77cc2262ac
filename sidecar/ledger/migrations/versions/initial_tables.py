"""Every table."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Makes them."""
    op.create_table(
        "artifacts",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_artifacts")),
    )
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("subject_ref", sa.String(), nullable=False),
        sa.Column("first_decided_at", sa.Double(), nullable=False),
        sa.Column("acted", sa.Boolean(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_decisions")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_decisions_first_decided_at_decision_id"),
        "decisions",
        ["first_decided_at", "decision_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_decisions_subject_ref_tenant"),
        "decisions",
        ["subject_ref", "tenant"],
        unique=False,
        sqlite_where=sa.text("subject_ref != ''"),
        postgresql_where=sa.text("subject_ref != ''"),
    )
    op.create_table(
        "in_force",
        sa.Column("row_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_in_force")),
        sa.UniqueConstraint(
            "sidecar_id",
            "slot",
            "since",
            "digest",
            "name",
            "version",
            name=op.f("uq_in_force_sidecar_id_slot_since_digest_name_version"),
        ),
    )
    op.create_table(
        "journal_positions",
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("journal_id", sa.String(), nullable=False),
        sa.Column("segment", sa.BigInteger(), nullable=False),
        sa.Column("byte_offset", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sidecar_id", "journal_id", name=op.f("pk_journal_positions")),
    )
    op.create_table(
        "label_event_reuses",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("content_digest", sa.String(), nullable=False),
        sa.Column("decision_id", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "event_id", "content_digest", name=op.f("pk_label_event_reuses")),
    )
    op.create_index(
        op.f("ix_label_event_reuses_decision_id"), "label_event_reuses", ["decision_id"], unique=False
    )
    op.create_table(
        "labels",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("decision_id", sa.LargeBinary(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("criterion", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("observed_at", sa.Double(), nullable=False),
        sa.Column("recorded_at", sa.Double(), nullable=False),
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "event_id", name=op.f("pk_labels")),
    )
    op.create_index(op.f("ix_labels_decision_id"), "labels", ["decision_id"], unique=False)
    op.create_index(op.f("ix_labels_task_id"), "labels", ["task_id"], unique=False)
    op.create_table(
        "set_aside",
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("journal_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("set_aside_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sidecar_id", "journal_id", "sequence", name=op.f("pk_set_aside")),
    )
    op.create_table(
        "strata",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("band", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("intent", sa.String(), nullable=False),
        sa.Column("audit_rate", sa.Double(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("n_drawn", sa.BigInteger(), nullable=False),
        sa.Column("n_acted", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "day",
            "sidecar_id",
            "model",
            "model_version",
            "source",
            "band",
            "action",
            "intent",
            "audit_rate",
            name=op.f("pk_strata"),
        ),
    )
    op.create_index(op.f("ix_strata_model_day"), "strata", ["model", "day"], unique=False)
    op.create_table(
        "suspensions",
        sa.Column("suspension_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("happened_at", sa.Double(), nullable=False),
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "suspension_id", "event", "happened_at", "sidecar_id", name=op.f("pk_suspensions")
        ),
    )
    op.create_table(
        "answers",
        sa.Column("answer_id", sa.LargeBinary(), nullable=False),
        sa.Column("decision_id", sa.LargeBinary(), nullable=False),
        sa.Column("kind_id", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.Double(), nullable=True),
        sa.Column("calibrated", sa.Double(), nullable=True),
        sa.Column("drawn", sa.Boolean(), nullable=False),
        sa.Column("decided_at", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decisions.decision_id"], name=op.f("fk_answers_decision_id")
        ),
        sa.PrimaryKeyConstraint("answer_id", name=op.f("pk_answers")),
    )
    op.create_table(
        "answer_kinds",
        sa.Column("kind_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("band", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("may_act", sa.Boolean(), nullable=False),
        sa.Column("enforced", sa.Boolean(), nullable=False),
        sa.Column("intent", sa.String(), nullable=False),
        sa.Column("provenance", sa.String(), nullable=False),
        sa.Column("audit_rate", sa.Double(), nullable=False),
        sa.Column("mandatory", sa.Boolean(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("kind_id", name=op.f("pk_answer_kinds")),
    )
    op.create_table(
        "provenances",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("policy_digest", sa.String(), nullable=False),
        sa.Column("calibrator_digest", sa.String(), nullable=False),
        sa.Column("sidecar_id", sa.String(), nullable=False),
        sa.Column("audit_key_id", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_provenances")),
    )
    op.create_index(op.f("ix_answers_decision_id"), "answers", ["decision_id"], unique=False)
    op.create_table(
        "outcomes",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("decision_id", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("final_class", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("by_person", sa.Boolean(), nullable=False),
        sa.Column("shown_digest", sa.String(), nullable=False),
        sa.Column("decided_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decisions.decision_id"], name=op.f("fk_outcomes_decision_id")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_outcomes")),
    )
    op.create_index(op.f("ix_outcomes_decision_id"), "outcomes", ["decision_id"], unique=False)
    op.create_index(op.f("ix_outcomes_tenant_sequence"), "outcomes", ["tenant", "sequence"], unique=False)
    op.create_table(
        "review_tasks",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("decision_id", sa.LargeBinary(), nullable=False),
        sa.Column("answer_id", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("skill", sa.String(), nullable=False),
        sa.Column("criterion", sa.String(), nullable=False),
        sa.Column("origin_task_id", sa.String(), nullable=False),
        sa.Column("origin_kind", sa.String(), nullable=False),
        sa.Column("mandatory", sa.Boolean(), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("rank_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("completed_at", sa.Double(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["answer_id"], ["answers.answer_id"], name=op.f("fk_review_tasks_answer_id")),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decisions.decision_id"], name=op.f("fk_review_tasks_decision_id")
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_review_tasks")),
    )
    op.create_index(
        op.f("ix_review_tasks_decision_id_state_rank_at_task_id"),
        "review_tasks",
        ["decision_id", "state", "rank_at", "task_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_review_tasks_state_rank_at_task_id"),
        "review_tasks",
        ["state", "rank_at", "task_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_review_tasks_state_expires_at"), "review_tasks", ["state", "expires_at"], unique=False
    )
    op.create_table(
        "review_events",
        sa.Column("event_number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("by_person", sa.Boolean(), nullable=False),
        sa.Column("happened_at", sa.Double(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["review_tasks.task_id"], name=op.f("fk_review_events_task_id")),
        sa.PrimaryKeyConstraint("event_number", name=op.f("pk_review_events")),
    )
    op.create_index(
        op.f("ix_review_events_task_id_principal"), "review_events", ["task_id", "principal"], unique=False
    )
    op.create_table(
        "review_slots",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reviewer", sa.String(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("leased_at", sa.Double(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("completion", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["task_id"], ["review_tasks.task_id"], name=op.f("fk_review_slots_task_id")),
        sa.PrimaryKeyConstraint("task_id", "slot", name=op.f("pk_review_slots")),
        sa.UniqueConstraint("task_id", "reviewer", name=op.f("uq_review_slots_task_id_reviewer")),
    )
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
        sa.Column("decision_id", sa.LargeBinary(), nullable=False),
        sa.Column("answer_id", sa.LargeBinary(), nullable=False),
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
    op.create_table(
        "watch_states",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", "stream", name=op.f("pk_watch_states")),
    )


def downgrade() -> None:
    """Not possible: a ledger is never taken apart."""
    raise NotImplementedError("a ledger is never taken apart; restore a backup instead")
