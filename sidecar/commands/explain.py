"""`explain`: why a decision went out, what became of it, and whether it can be decided again to the last bit."""

import argparse
import os
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar import errors, shell, times
from sidecar.commands import sequel
from sidecar.decision import draws, recompute
from sidecar.decision.records import Decision
from sidecar.ledger import artifacts, audit_members, audit_periods, outcomes, queries
from sidecar.ledger.audit_members import AuditMember
from sidecar.ledger.audit_periods import AuditPeriod
from sidecar.ledger.database import Connection
from sidecar.ledger.queries import StoredDecision
from sidecar.service.deciding import keys


def add_parser(subparsers: Any) -> None:
    """Declares the command."""
    parser = subparsers.add_parser(
        "explain",
        help="say why a decision went out, from the ledger",
        description="Says why a decision went out, or was held, who looked at it, how it ended, and what its labels "
        "count for. With --recompute it decides again, from the stored inputs under the "
        "stored policy and calibrator, and compares bit for bit; exit code 1 where anything differs.",
    )
    parser.add_argument("decision_id", metavar="ID", help="a decision id")
    parser.add_argument("--recompute", action="store_true", help="decide again and compare")
    shell.add_ledger(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the explanation."""
    with shell.ledger_in_place(arguments) as ledger, ledger.reading() as at:
        stored = queries.decision(at, arguments.decision_id)
        if stored is None:
            raise errors.NotFound(f"the ledger has no decision {arguments.decision_id!r}")
        progress = outcomes.progress(at, stored.decision_id)
        shell.show([f"decision    {stored.decision_id}: {sequel.state(stored, progress)}"])
        shell.show([*_answers(stored, at), *sequel.lines(stored, progress, at)])
        if not arguments.recompute:
            return 0
        known = audit_keys(arguments)
        found = [difference for answer in stored.answers for difference in recomputed(answer, at, known)]
        missing = sorted(
            {answer.provenance.audit_key_id for answer in stored.answers if answer.verdict.audit_rate > 0.0}
            - known.keys()
        )
    if found:
        shell.show(["RECOMPUTED DIFFERENTLY", *(f"  {difference}" for difference in found)])
        return 1
    print(f"recomputed  {len(stored.answers)} of {len(stored.answers)} answers agree bit for bit")
    if missing:
        print(
            f"not drawn again: no audit key {', '.join(missing)} (TRUEBAND_AUDIT_KEYS, or the data directory's)"
        )
    return 0


def audit_keys(arguments: argparse.Namespace) -> dict[str, bytes]:
    """The audit keys by id, from the environment or the data directory; none is made."""
    return keys.known_audit(os.environ.get("TRUEBAND_AUDIT_KEYS", ""), arguments.data_dir)


def _answers(stored: StoredDecision, at: Connection) -> Iterator[str]:
    for answer in stored.answers:
        decided_at = times.utc(answer.decided_at, "microseconds")
        yield f"answer      {answer.answer_id} at {decided_at} by sidecar {answer.provenance.sidecar_id}"
        yield f"  asked     {_asked(answer)}"
        yield f"  evidence  {answer.query.evidence.kind} {_numbers(answer.query.evidence.values)}"
        confidence = (
            "none"
            if answer.verdict.calibrated_confidence is None
            else f"{answer.verdict.calibrated_confidence:.6f}"
        )
        raw = "none" if answer.verdict.raw_confidence is None else f"{answer.verdict.raw_confidence:.6f}"
        bound = (
            "" if answer.verdict.lower_bound is None else f", lower bound {answer.verdict.lower_bound:.6f}"
        )
        yield f"  confidence raw {raw}, calibrated {confidence}{bound}, band {answer.verdict.band or 'none'}"
        acts = "yes" if answer.may_act else "no"
        yield f"  answered  {answer.action}, may act: {acts}, because {', '.join(answer.reasons)}"
        for floor in answer.verdict.floors:
            yield f"  floor     {floor.floor} permits only {', '.join(floor.permitted)}"
        if answer.provenance.calibrator is not None:
            reference = answer.provenance.calibrator
            version = f" version {reference.version}" if reference.version else ""
            age = "" if answer.stale_seconds is None else f", confirmed {answer.stale_seconds:.1f} s before"
            yield f"  calibrator {reference.kind} {reference.name}{version}{age}"
            yield f"            {reference.digest}"
        yield f"  policy    {answer.provenance.policy_digest}"
        if answer.provenance.floors_digest:
            yield f"  floors    {answer.provenance.floors_digest}"
        drawn = "drawn" if answer.drawn else "not drawn"
        yield f"  audit     {drawn} at rate {answer.verdict.audit_rate:g} with key {answer.provenance.audit_key_id}"
        if answer.verdict.audit_budget:
            yield f"            {_audit_story(answer, at)}"


def _asked(answer: Decision) -> str:
    parts = {
        "model": answer.query.model,
        "version": answer.query.model_version,
        "class": answer.query.predicted_class,
        "category": answer.query.category,
        "tenant": answer.query.tenant,
        "subject": answer.query.subject_ref,
        "request": answer.query.request_id,
        "intent": answer.query.intent,
    }
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value)


def recomputed(answer: Decision, at: Connection, known: Mapping[str, bytes]) -> Iterator[str]:
    """What the ledger's texts and the audit keys say otherwise than was answered, a sentence each.

    Args:
        answer: as it was recorded.
        at: a connection to the ledger.
        known: the audit keys by id; what another one drew is not drawn again.
    """
    reference = answer.provenance.calibrator
    digests = {
        "policy": answer.provenance.policy_digest,
        "calibrator": "" if reference is None else reference.digest,
        "floors": answer.provenance.floors_digest,
    }
    texts = {what: artifacts.text_of(at, digest) for what, digest in digests.items() if digest}
    for what, text in texts.items():
        if text is None:
            yield f"answer {answer.answer_id}: the ledger has no {what} {digests[what]}"
            return
    verdict = recompute.recompute(answer, texts["policy"] or "", texts.get("calibrator"), texts.get("floors"))
    for difference in recompute.differences(answer, verdict):
        yield f"answer {answer.answer_id}: {difference}"
    key = known.get(answer.provenance.audit_key_id)
    if key is not None:
        for difference in _drawn_again(answer, key, at):
            yield f"answer {answer.answer_id}: {difference}"


def _numbers(values: tuple[float, ...]) -> str:
    shown = ", ".join(repr(value) for value in values[:8])
    return f"{shown}, ... ({len(values)} numbers)" if len(values) > 8 else shown


def _audit_story(answer: Decision, at: Connection) -> str:
    """What became of an answer under an audit budget, in words."""
    member = audit_members.member(at, answer)
    if member is None:
        return "under a budget, and in no population: the ledger does not have it whole"
    week = member.population.week
    period = _period(member, at)
    plan = f"week {week}, at most {answer.verdict.audit_budget} of what is drawn"
    if period is None:
        return f"{plan}: not closed yet"
    closed = f"{plan}; closed with {period.n_sampled} of {period.n_drawn}, tau {period.tau:.6g}"
    if member.late:
        return f"{closed}: it came late, and so was never sampled"
    if member.draw is None or not member.draw < period.tau:
        return f"{closed}: not in the sample"
    return f"{closed}: in the sample, with inclusion probability {period.inclusion:.6g}"


def _drawn_again(answer: Decision, key: bytes, at: Connection) -> Iterator[str]:
    """What is recorded otherwise than the key says, a sentence each.

    Args:
        answer: as it was recorded.
        key: that drew.
        at: a connection to the ledger.
    """
    draw = draws.audit_draw(key, answer.decision_id)
    if answer.drawn != (draw < answer.verdict.audit_rate):
        yield f"drawn is {answer.drawn}, and the key says otherwise"
        return
    member = audit_members.member(at, answer) if answer.verdict.audit_budget else None
    if member is None or member.key_id != answer.provenance.audit_key_id:
        return
    if answer.drawn and answer.audit_draw != draw:
        yield f"the recorded draw is {answer.audit_draw!r}, and the key's is {draw!r}"
    period = _period(member, at)
    sampled = period is not None and not member.late and draw < period.tau
    if sampled and member.task is None and not member.elsewhere:
        yield "the key puts it in the sample of its period, and it has no audit task"
    elif member.task is not None and not sampled:
        yield "it has an audit task, and the key does not put it in the sample of a closed period"


def _period(member: AuditMember, at: Connection) -> AuditPeriod | None:
    found = audit_periods.periods(at, model=member.population.model, week=member.population.week)
    return next((period for period in found if period.population == member.population), None)
