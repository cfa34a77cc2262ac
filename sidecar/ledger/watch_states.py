"""What `training watch` remembers from one look to the next, and what it reads of the ledger beside labels.

`watch_states` is the only table that `training` writes to. It has a row for each stream of labels; what a body
means is its writer's business.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec
import sqlalchemy as sa

from calibrators.errors import TruebandError
from sidecar import errors
from sidecar.ledger import database, migrations, schema
from sidecar.policy.actions import Intent

MOST_SCORES = 200_000


class WatchedMeanwhile(TruebandError):
    """Another watch was at work at the same time, and was faster. Look again."""

    code: ClassVar[str] = "WATCHED_MEANWHILE"


class WatchState(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a stream.

    Attributes:
        model: the model.
        stream: the stream's id within it.
        version: how often it was written; 0: not yet.
        updated_at: when it was last written, in seconds since the epoch.
        body: text of the writer's.
    """

    model: str
    stream: str
    version: int = 0
    updated_at: float
    body: str


class RecentScores(msgspec.Struct, frozen=True, kw_only=True):
    """The latest answers of a version of a model.

    Attributes:
        model_version: the version; empty where requests name none.
        calibrator_digest: what calibrated the newest of them.
        newest_at: when that was given, in seconds since the epoch.
        scores: their raw confidences, oldest first.
    """

    model_version: str
    calibrator_digest: str
    newest_at: float
    scores: tuple[float, ...]


def states(connection: sa.Connection, model: str) -> dict[str, WatchState]:
    """What is remembered of a model, by stream.

    Raises:
        errors.LedgerUnavailable: the ledger is not one of this version.
    """
    table = schema.watch_states
    if not migrations.is_current(connection):
        raise errors.LedgerUnavailable(
            "the ledger is empty or of an older version: start a sidecar of this version with it once"
        )
    rows = connection.execute(sa.select(table).where(table.c.model == model).order_by(table.c.stream)).all()
    return {row.stream: WatchState(**row._mapping) for row in rows}


def first_in_force(connection: sa.Connection, digest: str) -> float | None:
    """When any sidecar first decided with something of that digest; None: none ever did."""
    table = schema.in_force.c
    first: float | None = connection.execute(
        sa.select(sa.func.min(table.since)).where(table.digest == digest)
    ).scalar_one()
    return first


def keep(connection: sa.Connection, states: Sequence[WatchState]) -> None:
    """Remembers the states, all or none.

    Args:
        connection: in a transaction that writes.
        states: each with the version that it takes the place of, which must still be the stored one.

    Raises:
        WatchedMeanwhile: one of them has another version by now; nothing may be committed.
    """
    table = schema.watch_states
    for state in states:
        row = msgspec.structs.asdict(state) | {"version": state.version + 1}
        statement: sa.Update | sa.Insert
        if state.version:
            same = (table.c.model == state.model, table.c.stream == state.stream)
            statement = sa.update(table).where(*same, table.c.version == state.version).values(row)
        else:
            statement = database.insert(connection, table).on_conflict_do_nothing().values(row)
        # Not by the number of rows, which PostgreSQL's drivers do not tell of an insert that may do nothing.
        if connection.execute(statement.returning(table.c.stream)).first() is None:
            raise WatchedMeanwhile(
                f"another watch of model {state.model} wrote stream {state.stream} meanwhile: look again"
            )


def recent_scores(
    connection: sa.Connection, model: str, *, since: float, until: float, most: int = MOST_SCORES
) -> list[RecentScores]:
    """The raw confidences of a model's latest live decisions, by version of the model.

    Args:
        connection: in a transaction.
        model: the model.
        since: only decisions first answered at or after, in seconds since the epoch.
        until: only decisions first answered before.
        most: only so many of the newest decisions.
    """
    # Over the decisions, whose times are indexed.
    decided, answers = schema.decisions.c, schema.answered.c
    recent = (
        sa.select(decided.decision_id)
        .where(decided.model == model, decided.first_decided_at >= since, decided.first_decided_at < until)
        .order_by(decided.first_decided_at.desc(), decided.decision_id.desc())
        .limit(most)
        .subquery()
    )
    rows = connection.execute(
        sa.select(answers.model_version, answers.calibrator_digest, answers.decided_at, answers.raw)
        .join(recent, recent.c.decision_id == answers.decision_id)
        .where(answers.intent == Intent.LIVE.value, answers.calibrator_digest != "", answers.raw.is_not(None))
        .order_by(answers.decided_at, answers.answer_id)
    )
    scores: dict[str, list[float]] = {}
    newest: dict[str, tuple[str, float]] = {}
    for version, digest, decided_at, raw in rows:
        scores.setdefault(version, []).append(raw)
        newest[version] = (digest, decided_at)
    return [
        RecentScores(
            model_version=version,
            calibrator_digest=newest[version][0],
            newest_at=newest[version][1],
            scores=tuple(scores[version]),
        )
        for version in sorted(scores)
    ]
