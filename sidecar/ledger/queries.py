"""Reads decisions, and what was in force when they were made."""

import functools
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from sidecar import dialect, errors
from sidecar.decision import records
from sidecar.decision.provenance import Provenance
from sidecar.decision.records import Decision, InForce, Label
from sidecar.decision.tasks import BLOCKING_KINDS
from sidecar.ledger import pages, schema
from sidecar.ledger.pages import Page

T = TypeVar("T")

FEW_IDS = 500
"""How many ids one query asks for at once; databases bound the number of parameters."""

SIDECAR_SLOT = "sidecar"
"""The slot of in-force records that says that a sidecar started or stopped."""

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

    def asked_by(self, principal: str) -> "StoredDecision | None":
        """What is left of it without the answers that others got; None: nothing."""
        own = tuple(answer for answer in self.answers if answer.query.principal == principal)
        if len(own) == len(self.answers):
            return self
        if not own:
            return None
        return msgspec.structs.replace(
            self,
            answers=own,
            acted=any(answer.may_act for answer in own),
            held=any(task.kind in BLOCKING_KINDS for answer in own for task in answer.tasks),
        )


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
        page_size: at most this many, and fewer where they are long; 0 asks for the default.
        page_token: from the previous page.

    Raises:
        errors.InvalidRequest: the size or the token cannot be used.
    """
    table, count = schema.decisions.c, pages.size(page_size)
    wanted: list[sa.ColumnElement[bool]] = []
    if tenant is not None:
        wanted.append(table.tenant == tenant)
    if subject_ref:
        # The second says that the index holds, which leaves out decisions about no subject.
        wanted += [table.subject_ref == subject_ref, table.subject_ref != ""]
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
    listed = connection.execute(
        sa.select(table.decision_id, table.first_decided_at)
        .where(*wanted)
        .order_by(table.first_decided_at.desc(), table.decision_id.desc())
        .limit(count + 1)
    ).all()
    lengths = _lengths(connection, [row.decision_id for row in listed[:count]])
    chosen = pages.within(listed[:count], lambda row: lengths[row.decision_id], pages.MOST_READ)
    read = {each.decision_id: each for each in stored(connection, [row.decision_id for row in chosen])}
    tokens = tuple(pages.token(question, [row.first_decided_at, row.decision_id]) for row in chosen)
    following = tokens[-1] if len(listed) > len(chosen) else ""
    items = tuple(read[row.decision_id] for row in chosen)
    return Page(items=items, next_page_token=following, tokens=tokens)


def _lengths(connection: sa.Connection, decision_ids: list[str]) -> dict[str, int]:
    """How long the answers of each decision are together."""
    table, lengths = schema.answers.c, {}
    for start in range(0, len(decision_ids), FEW_IDS):
        rows = connection.execute(
            sa.select(table.decision_id, sa.func.sum(sa.func.length(table.body)))
            .where(table.decision_id.in_(decision_ids[start : start + FEW_IDS]))
            .group_by(table.decision_id)
        )
        lengths.update({decision_id: int(length) for decision_id, length in rows})
    return lengths


def stored(connection: sa.Connection, decision_ids: Iterable[str]) -> list[StoredDecision]:
    """The decisions of those ids that the ledger has, in no order."""
    kept, wanted, read = [], list(decision_ids), decision_reader(connection)
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
            answers[row.decision_id].append(read(row.body))
        kept += [
            StoredDecision(decision_id=key, answers=tuple(answers[key]), acted=acted, held=held)
            for key, (acted, held) in flags.items()
        ]
    return kept


def decision_reader(connection: sa.Connection) -> Callable[[str], Decision]:
    """What reads the decision in a row of `answers`, with what its provenance says.

    It raises errors.LedgerUnavailable where that is none, or a newer version wrote it.
    """
    known: dict[str, Provenance] = {}

    def resolve(digest: str) -> Provenance:
        if digest not in known:
            body = connection.execute(
                sa.select(schema.provenances.c.body).where(schema.provenances.c.digest == digest)
            ).scalar_one_or_none()
            known[digest] = Provenance.missing(digest) if body is None else Provenance.parse(body)
        return known[digest]

    return functools.partial(_decoded, records.decoder(Decision, resolve))


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


def calibrator_slots(connection: sa.Connection, digest: str) -> dict[str, tuple[InForce, ...]]:
    """Everything that was put in force in the slots in which a calibrator decided, oldest first, by slot.

    All sidecars together: one that is new has no history of its own.
    """
    table = schema.in_force.c
    held = sa.select(table.slot).where(
        table.digest == digest, table.slot.startswith(dialect.CALIBRATOR_SLOTS)
    )
    rows = connection.execute(
        sa.select(schema.in_force).where(table.slot.in_(held)).order_by(table.since, table.row_id)
    )
    slots: dict[str, list[InForce]] = {}
    for row in rows:
        entry = InForce(
            sidecar_id=row.sidecar_id,
            slot=row.slot,
            digest=row.digest,
            name=row.name,
            version=row.version,
            since=row.since,
        )
        slots.setdefault(row.slot, []).append(entry)
    return {slot: tuple(entries) for slot, entries in slots.items()}
