"""Takes records into the tables: one transaction's work, the same however often it is repeated."""

import hashlib
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from sidecar import times
from sidecar.decision import labels, tasks
from sidecar.decision.provenance import Provenance
from sidecar.decision.records import Artifact, Decision, InForce, Label, Record, encode
from sidecar.ledger import audit_periods, database, governance, opening, queries, schema, shadow
from sidecar.policy.actions import TaskKind

_Kind = tuple[str, str, str, str, str, str, bool, bool, str, str, float, bool, str]
_Stratum = tuple[int, str, str, str, str, str, str, str, float]
MOST_AT_ONCE = 1000
"""Records that are looked up in one query; databases bound the number of parameters."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where a journal has been taken in: the place, and the number of the last record before it."""

    segment: int
    offset: int
    sequence: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be taken in: its number in the journal, its bytes, and why."""

    sequence: int
    body: bytes
    error: str
    set_aside_at: float


def take_in(connection: sa.Connection, records: Sequence[Record]) -> None:
    """Writes the records that are not there yet, and what follows from them. Holds a transaction.

    What follows: counts per stratum, whether a decision acted or held, the review tasks that it opens, and
    that a label completes the task that it names.

    Raises:
        database.RecordRefused: a record's content cannot be worked with, such as a time beyond the calendar.
    """
    try:
        for start in range(0, len(records), MOST_AT_ONCE):
            _take_in(connection, records[start : start + MOST_AT_ONCE])
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise database.RecordRefused(f"{type(error).__name__}: {error}") from error


def _take_in(connection: sa.Connection, records: Sequence[Record]) -> None:
    decisions = [record for record in records if isinstance(record, Decision)]
    artifacts = [record for record in records if isinstance(record, Artifact)]
    database.insert_new(
        connection,
        schema.artifacts,
        [msgspec.structs.asdict(record) for record in artifacts if record.kind != "provenance"],
    )
    database.insert_new(
        connection,
        schema.provenances,
        [
            _provenance_row(provenance)
            for provenance in dict.fromkeys(
                [
                    *(Provenance.parse(record.body) for record in artifacts if record.kind == "provenance"),
                    *(decision.provenance for decision in decisions if decision.provenance.known),
                ]
            )
        ],
    )
    events = [record for record in records if isinstance(record, Label)]
    opened = _take_decisions(connection, decisions) if decisions else set()
    named = take_labels(connection, events) if events else set()
    if opened or named:
        opening.end_labelled(connection, opened | named)
    database.insert_new(
        connection,
        schema.in_force,
        [msgspec.structs.asdict(record) for record in records if isinstance(record, InForce)],
    )
    database.insert_new(connection, schema.suspensions, governance.suspension_rows(records))
    database.insert_new(connection, schema.governance, governance.change_rows(records))
    shadow.take_in(connection, records)


def _take_decisions(connection: sa.Connection, decisions: Iterable[Decision]) -> set[str]:
    """Writes the answers that are new; answers the ids of the tasks that they open."""
    offered: dict[str, Decision] = {}
    for decision in decisions:
        offered.setdefault(decision.answer_id, decision)
    present = connection.execute(
        sa.select(schema.answers.c.answer_id).where(schema.answers.c.answer_id.in_(offered))
    ).scalars()
    for answer_id in present:
        del offered[answer_id]
    fresh = list(offered.values())  # in the order of the journal, so that batches may be cut anywhere
    if not fresh:
        return set()
    # Sorted, so that two sidecars that share decisions lock them in the same order.
    summaries = [_summary(answers) for _, answers in sorted(_by_decision(fresh).items())]
    statement = database.insert(connection, schema.decisions)
    old, new = schema.decisions.c, statement.excluded
    upsert = statement.on_conflict_do_update(
        index_elements=["decision_id"],
        set_={
            "first_decided_at": sa.case(
                (new.first_decided_at < old.first_decided_at, new.first_decided_at),
                else_=old.first_decided_at,
            ),
            "acted": sa.or_(old.acted, new.acted),
            "held": sa.or_(old.held, new.held),
        },
    )
    database.insert_many(connection, upsert, schema.decisions.c.keys(), summaries)
    kinds_of_fresh = [_kind(decision) for decision in fresh]
    kinds = {kind: _kind_id(kind) for kind in set(kinds_of_fresh)}
    database.insert_new(
        connection,
        schema.answer_kinds,
        [
            dict(zip(_KIND_COLUMNS, kind, strict=True)) | {"kind_id": kind_id}
            for kind, kind_id in sorted(kinds.items(), key=operator.itemgetter(1))
        ],
    )
    rows = [_answer_row(decision, kinds[kind]) for decision, kind in zip(fresh, kinds_of_fresh, strict=True)]
    database.insert_many(connection, sa.insert(schema.answers), schema.answers.c.keys(), rows)
    table = schema.provenances.c
    digests = {decision.provenance.digest for decision in fresh}
    known = {
        row.digest: row
        for row in connection.execute(
            sa.select(table.digest, table.sidecar_id, table.audit_key_id).where(table.digest.in_(digests))
        )
    }
    _count(connection, fresh, {digest: row.sidecar_id for digest, row in known.items()})
    audit_periods.take_members(connection, fresh, {digest: row.audit_key_id for digest, row in known.items()})
    opened = {
        tasks.task_id(decision.decision_id, planned.kind): (decision, planned)
        for decision in reversed(fresh)
        for planned in decision.tasks
        # Which audits a budget leaves is known when the period is closed.
        if not (decision.verdict.audit_budget and planned.kind is TaskKind.AUDIT)
    }
    opening.open_tasks(connection, opened)
    return set(opened)


def _by_decision(decisions: Iterable[Decision]) -> dict[str, list[Decision]]:
    grouped: dict[str, list[Decision]] = {}
    for decision in decisions:
        grouped.setdefault(decision.decision_id, []).append(decision)
    return grouped


def _summary(answers: Sequence[Decision]) -> dict[str, object]:
    first = answers[0]
    return {
        "decision_id": schema.packed(first.decision_id),
        "tenant": first.query.tenant,
        "model": first.query.model,
        "subject_ref": first.query.subject_ref,
        "first_decided_at": min(answer.decided_at for answer in answers),
        "acted": any(answer.may_act for answer in answers),
        "held": any(task.kind in tasks.BLOCKING_KINDS for answer in answers for task in answer.tasks),
    }


def _provenance_row(provenance: Provenance) -> dict[str, object]:
    return {
        "digest": provenance.digest,
        "policy_digest": provenance.policy_digest,
        "calibrator_digest": "" if provenance.calibrator is None else provenance.calibrator.digest,
        "sidecar_id": provenance.sidecar_id,
        "audit_key_id": provenance.audit_key_id,
        "body": provenance.text,
    }


_KIND_COLUMNS = tuple(column.name for column in schema.answer_kinds.c if column.name != "kind_id")


def _kind(decision: Decision) -> _Kind:
    """What an answer has in common with others, in the order of the columns."""
    query, verdict = decision.query, decision.verdict
    return (
        query.model,
        query.model_version,
        verdict.source.value,
        query.category,
        verdict.band,
        decision.action.value,
        decision.may_act,
        verdict.enforced,
        query.intent.value,
        decision.provenance.digest,
        verdict.audit_rate,
        verdict.mandatory,
        query.principal,
    )


def _kind_id(kind: _Kind) -> int:
    """The first 63 bits of SHA-256 over the content."""
    digest = hashlib.sha256(msgspec.json.encode(kind)).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _answer_row(decision: Decision, kind_id: int) -> dict[str, object]:
    return {
        "answer_id": schema.packed(decision.answer_id),
        "decision_id": schema.packed(decision.decision_id),
        "kind_id": kind_id,
        "raw": decision.verdict.raw_confidence,
        "calibrated": decision.verdict.calibrated_confidence,
        "drawn": decision.drawn,
        "decided_at": decision.decided_at,
        "body": encode(decision).decode(),
    }


def _count(connection: sa.Connection, fresh: Iterable[Decision], sidecar_ids: Mapping[str, str]) -> None:
    """Adds new answers to the counts of their strata; `sidecar_ids` by the digest of their provenance."""
    n: Counter[_Stratum] = Counter()
    n_drawn: Counter[_Stratum] = Counter()
    n_acted: Counter[_Stratum] = Counter()
    for decision in fresh:
        stratum = (
            int(decision.decided_at // times.DAY_SECONDS),
            sidecar_ids.get(decision.provenance.digest, ""),
            decision.query.model,
            decision.query.model_version,
            decision.verdict.source.value,
            decision.verdict.band,
            decision.action.value,
            decision.query.intent.value,
            decision.verdict.audit_rate,
        )
        n[stratum] += 1
        n_drawn[stratum] += decision.drawn
        n_acted[stratum] += decision.may_act
    keys = [column.name for column in schema.strata.primary_key]
    rows = [
        dict(zip(keys, (times.numbered_day(stratum[0]), *stratum[1:]), strict=True))
        | {"n": n[stratum], "n_drawn": n_drawn[stratum], "n_acted": n_acted[stratum]}
        for stratum in n
    ]
    statement = database.insert(connection, schema.strata)
    counts = {name: schema.strata.c[name] + statement.excluded[name] for name in ("n", "n_drawn", "n_acted")}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=counts), rows)


def take_labels(connection: sa.Connection, events: Iterable[Label]) -> set[str]:
    """Writes the labels that are new, in a transaction; answers the ids of the tasks that they name.

    Of labels with the same source and event_id the first counts; one that says something else is evidence.
    """
    offered: dict[tuple[str, str], list[Label]] = {}
    for label in events:
        offered.setdefault((label.source, label.event_id), []).append(label)
    table = schema.labels.c
    present = {
        (row.source, row.event_id): labels.content(queries.decoded_label(row.body))
        for row in connection.execute(
            sa.select(table.source, table.event_id, table.body).where(
                sa.tuple_(table.source, table.event_id).in_(list(offered))
            )
        )
    }
    fresh, reuses = [], []
    for key, same_key in offered.items():
        known = present.get(key)
        if known is None:
            fresh.append(same_key[0])
            known = labels.content(same_key[0])
        reuses += [label for label in same_key if labels.content(label) != known]
    database.insert_new(connection, schema.labels, [_label_row(label) for label in fresh])
    database.insert_new(connection, schema.label_event_reuses, [_reuse_row(label) for label in reuses])
    return {label.task_id for label in fresh if label.task_id}


def _label_row(label: Label) -> dict[str, object]:
    return {
        "source": label.source,
        "event_id": label.event_id,
        "decision_id": label.decision_id,
        "about": label.about,
        "criterion": label.criterion,
        "channel": label.channel,
        "task_id": label.task_id,
        "observed_at": label.observed_at,
        "recorded_at": label.recorded_at,
        "sidecar_id": label.sidecar_id,
        "body": encode(label).decode(),
    }


def _reuse_row(label: Label) -> dict[str, object]:
    return {
        "source": label.source,
        "event_id": label.event_id,
        "content_digest": labels.content(label),
        "decision_id": label.decision_id,
        "recorded_at": label.recorded_at,
        "body": encode(label).decode(),
    }


def take_in_journal(
    connection: sa.Connection, sidecar_id: str, journal_id: str, records: Sequence[Record], mark: Mark
) -> None:
    """Takes records of a journal in, and notes up to where it is taken in then; see `take_in`."""
    take_in(connection, records)
    keep_mark(connection, sidecar_id, journal_id, mark)


def journal_mark(connection: sa.Connection, sidecar_id: str, journal_id: str) -> Mark | None:
    """Up to where a journal has been taken in; None: nothing of it."""
    table = schema.journal_positions.c
    row = connection.execute(
        sa.select(table.segment, table.byte_offset, table.sequence).where(
            table.sidecar_id == sidecar_id, table.journal_id == journal_id
        )
    ).one_or_none()
    return None if row is None else Mark(segment=row[0], offset=row[1], sequence=row[2])


def records_set_aside(
    connection: sa.Connection, sidecar_id: str | None = None
) -> list[tuple[str, str, Refused]]:
    """What was set aside, with its sidecar and journal; None: by any sidecar."""
    table = schema.set_aside.c
    query = sa.select(schema.set_aside).order_by(table.sidecar_id, table.journal_id, table.sequence)
    if sidecar_id is not None:
        query = query.where(table.sidecar_id == sidecar_id)
    return [
        (
            row.sidecar_id,
            row.journal_id,
            Refused(
                sequence=row.sequence, body=bytes(row.body), error=row.error, set_aside_at=row.set_aside_at
            ),
        )
        for row in connection.execute(query)
    ]


def keep_mark(connection: sa.Connection, sidecar_id: str, journal_id: str, mark: Mark) -> None:
    """Notes up to where a journal is taken in, in the transaction that takes it in."""
    statement = database.insert(connection, schema.journal_positions)
    place = {
        "segment": mark.segment,
        "byte_offset": mark.offset,
        "sequence": mark.sequence,
    }
    connection.execute(
        statement.on_conflict_do_update(index_elements=["sidecar_id", "journal_id"], set_=place),
        [{"sidecar_id": sidecar_id, "journal_id": journal_id} | place],
    )


def set_aside(
    connection: sa.Connection, sidecar_id: str, journal_id: str, refused: Refused, mark: Mark
) -> None:
    """Keeps a record that could not be taken in, byte for byte, and notes that its journal goes on behind it."""
    row = msgspec.structs.asdict(refused) | {"sidecar_id": sidecar_id, "journal_id": journal_id}
    database.insert_new(connection, schema.set_aside, [row])
    keep_mark(connection, sidecar_id, journal_id, mark)


def restore(
    connection: sa.Connection, sidecar_id: str, journal_id: str, sequence: int, record: Record
) -> None:
    """Takes in a record that was set aside, and strikes it off."""
    take_in(connection, [record])
    table = schema.set_aside.c
    own = (table.sidecar_id == sidecar_id, table.journal_id == journal_id, table.sequence == sequence)
    connection.execute(sa.delete(schema.set_aside).where(*own))
