"""Reads decisions, and what was in force when they were made."""

from collections.abc import Iterable
from datetime import date
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from sidecar import dialect, errors, times
from sidecar.decision.records import Decision, InForce, Label
from sidecar.ledger import database, pages, schema
from sidecar.ledger.pages import Page
from sidecar.policy.actions import Action, AnswerSource, Intent

T = TypeVar("T")

FEW_IDS = 500
"""How many ids one query asks for at once; databases bound the number of parameters."""

SIDECAR_SLOT = "sidecar"
"""The slot of in-force records that says that a sidecar started or stopped."""

_decisions: msgspec.json.Decoder[Decision] = msgspec.json.Decoder(Decision)
_labels: msgspec.json.Decoder[Label] = msgspec.json.Decoder(Label)


class StoredDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with all its answers.

    Attributes:
        decision_id: the id.
        answers: oldest first. A retry on another sidecar is another answer of the same decision.
        acted: whether any answer was permitted to act.
        held: whether any answer opened a task that it waits for.
    """

    decision_id: str
    answers: tuple[Decision, ...]
    acted: bool
    held: bool


class Stratum(msgspec.Struct, frozen=True, kw_only=True):
    """Exact counts of the answers of one UTC day that are alike.

    Attributes:
        audit_rate: the planned propensity of the audit draw.
        n: answers. `n_drawn`: those drawn for audit. `n_acted`: those that were permitted to act.
    """

    day: date
    model: str
    model_version: str
    source: AnswerSource
    band: str
    action: Action
    intent: Intent
    audit_rate: float
    n: int
    n_drawn: int
    n_acted: int


def decision(connection: sa.Connection, decision_id: str) -> StoredDecision | None:
    """The decision of that id, or None."""
    found = stored(connection, [decision_id])
    return found[0] if found else None


def decisions(
    connection: sa.Connection,
    *,
    tenant: str | None = None,
    subject_ref: str = "",
    model: str = "",
    decided_from: float | None = None,
    decided_to: float | None = None,
    page_size: int = 0,
    page_token: str = "",
) -> Page[StoredDecision]:
    """A page of decisions by the time of their first answer, newest first.

    Args:
        connection: in a transaction.
        tenant: only this one's (the default tenant is the empty string); None: any.
        subject_ref: only about this subject; empty: any.
        model: only of this one; empty: any.
        decided_from: at or after, in seconds since the epoch.
        decided_to: before.
        page_size: at most this many; 0 asks for the default.
        page_token: from the previous page.

    Raises:
        errors.InvalidRequest: the size or the token cannot be used.
    """
    table, count = schema.decisions.c, pages.size(page_size)
    wanted: list[sa.ColumnElement[bool]] = []
    if tenant is not None:
        wanted.append(table.tenant == tenant)
    if subject_ref:
        wanted.append(table.subject_ref == subject_ref)
    if model:
        wanted.append(table.model == model)
    if decided_from is not None:
        wanted.append(table.first_decided_at >= decided_from)
    if decided_to is not None:
        wanted.append(table.first_decided_at < decided_to)
    question = (tenant, subject_ref, model, decided_from, decided_to)
    if page_token:
        moment, last = pages.keys(question, page_token, float, str)
        tie = sa.and_(table.first_decided_at == moment, table.decision_id < last)
        wanted.append(sa.or_(table.first_decided_at < moment, tie))
    rows = connection.execute(
        sa.select(table.decision_id, table.first_decided_at)
        .where(*wanted)
        .order_by(table.first_decided_at.desc(), table.decision_id.desc())
        .limit(count + 1)
    ).all()
    following = ""
    if len(rows) > count:
        following = pages.token(question, [rows[count - 1].first_decided_at, rows[count - 1].decision_id])
    found = {each.decision_id: each for each in stored(connection, [row.decision_id for row in rows[:count]])}
    return Page(items=tuple(found[row.decision_id] for row in rows[:count]), next_page_token=following)


def stored(connection: sa.Connection, decision_ids: Iterable[str]) -> list[StoredDecision]:
    """The decisions of those ids that the ledger has, in no order."""
    found, wanted = [], list(decision_ids)
    for start in range(0, len(wanted), FEW_IDS):
        rows = connection.execute(
            sa.select(schema.decisions, schema.answers.c.body)
            .join(schema.answers, schema.answers.c.decision_id == schema.decisions.c.decision_id)
            .where(schema.decisions.c.decision_id.in_(wanted[start : start + FEW_IDS]))
            .order_by(schema.answers.c.decided_at, schema.answers.c.answer_id)
        ).all()
        flags = {row.decision_id: (row.acted, row.held) for row in rows}
        answers: dict[str, list[Decision]] = {decision_id: [] for decision_id in flags}
        for row in rows:
            answers[row.decision_id].append(decoded_decision(row.body))
        found += [
            StoredDecision(decision_id=key, answers=tuple(answers[key]), acted=acted, held=held)
            for key, (acted, held) in flags.items()
        ]
    return found


def in_force(connection: sa.Connection, sidecar_id: str, slot: str, at: float) -> InForce | None:
    """What a sidecar decided with in a slot at a moment, or None where that was nothing.

    An interval ends with the slot's next record, and at the latest when the sidecar stops or starts again: a
    process that was killed had no time to say that it stopped.
    """
    table = schema.in_force.c

    def latest(name: str) -> "sa.Row[tuple[object, ...]] | None":
        return connection.execute(
            sa.select(*table)
            .where(table.sidecar_id == sidecar_id, table.slot == name, table.since <= at)
            .order_by(table.since.desc(), table.row_id.desc())
            .limit(1)
        ).one_or_none()

    row, ended = latest(slot), latest(SIDECAR_SLOT)
    if row is None or not row.digest:
        return None
    if ended is not None and ended.since > row.since:
        return None
    return InForce(
        sidecar_id=sidecar_id,
        slot=slot,
        digest=row.digest,
        name=row.name,
        version=row.version,
        since=row.since,
    )


def strata(connection: sa.Connection, model: str, since: float | None = None) -> list[Stratum]:
    """The counts of a model from the UTC day of a moment on (None: all), over all sidecars, by day."""
    table = schema.strata.c
    keys = [column for column in schema.strata.primary_key if column.name != "sidecar_id"]
    sums = [sa.func.sum(table[name]).label(name) for name in ("n", "n_drawn", "n_acted")]
    query = sa.select(*keys, *sums).where(table.model == model).group_by(*keys).order_by(*keys)
    if since is not None:
        query = query.where(table.day >= times.day_of(since))
    return [_stratum(row) for row in connection.execute(query)]


def _stratum(row: "sa.Row[tuple[object, ...]]") -> Stratum:
    values = {
        str(name): int(value) if name in ("n", "n_drawn", "n_acted") else value
        for name, value in row._mapping.items()
    }
    return msgspec.convert(values, Stratum)


def decoded_decision(body: str) -> Decision:
    """The decision in a row of `answers`.

    Raises:
        errors.LedgerUnavailable: it is none, or a newer version wrote it.
    """
    return _decoded(_decisions, body)


def decoded_label(body: str) -> Label:
    """The label in a row of `labels`.

    Raises:
        errors.LedgerUnavailable: it is none, or a newer version wrote it.
    """
    return _decoded(_labels, body)


def _decoded(decoder: msgspec.json.Decoder[T], body: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise errors.LedgerUnavailable(
            f"a record in the ledger cannot be read by this version: run the one that wrote it ({error})"
        ) from error


class CalibratorHistory:
    """Reads it. Every method raises `errors.LedgerUnavailable` as those of `store.Ledger` do."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def slots(self, digest: str) -> dict[str, tuple[InForce, ...]]:
        """Everything that was put in force in the slots in which a calibrator decided, oldest first, by slot.

        All sidecars together: one that is new has no history of its own.
        """
        table = schema.in_force.c
        held = sa.select(table.slot).where(
            table.digest == digest, table.slot.startswith(dialect.CALIBRATOR_SLOTS)
        )
        found: dict[str, list[InForce]] = {}
        with database.reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(schema.in_force).where(table.slot.in_(held)).order_by(table.since, table.row_id)
            )
            for row in rows:
                entry = InForce(
                    sidecar_id=row.sidecar_id,
                    slot=row.slot,
                    digest=row.digest,
                    name=row.name,
                    version=row.version,
                    since=row.since,
                )
                found.setdefault(row.slot, []).append(entry)
        return {slot: tuple(entries) for slot, entries in found.items()}
