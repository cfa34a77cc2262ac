"""What `explain` says about the audit of an answer, and what the key that drew says about it."""

from collections.abc import Iterator

from sidecar.decision import draws
from sidecar.decision.records import Decision
from sidecar.ledger.audit_periods import AuditPeriod
from sidecar.ledger.audit_view import AuditMember, AuditView


def told(answer: Decision, audits: AuditView) -> str:
    """What became of an answer under an audit budget, in words."""
    member = audits.member(answer)
    if member is None:
        return "under a budget, and in no population: the ledger does not have it whole"
    week = member.population.week
    period = _period(member, audits)
    plan = f"week {week}, at most {answer.audit_budget} of what is drawn"
    if period is None:
        return f"{plan}: not closed yet"
    closed = f"{plan}; closed with {period.n_sampled} of {period.n_drawn}, tau {period.tau:.6g}"
    if member.late:
        return f"{closed}: it came late, and so was never sampled"
    if member.draw is None or not member.draw < period.tau:
        return f"{closed}: not in the sample"
    return f"{closed}: in the sample, with inclusion probability {period.inclusion:.6g}"


def drawn_again(answer: Decision, key: bytes, audits: AuditView) -> Iterator[str]:
    """What is recorded otherwise than the key says, a sentence each.

    Args:
        answer: as it was recorded.
        key: that drew.
        audits: of the ledger.
    """
    draw = draws.audit_draw(key, answer.decision_id)
    if answer.drawn != (draw < answer.audit_rate):
        yield f"drawn is {answer.drawn}, and the key says otherwise"
        return
    member = audits.member(answer) if answer.audit_budget else None
    if member is None or member.key_id != answer.audit_key_id:
        return
    if answer.drawn and answer.audit_draw != draw:
        yield f"the recorded draw is {answer.audit_draw!r}, and the key's is {draw!r}"
    period = _period(member, audits)
    sampled = period is not None and not member.late and draw < period.tau
    if sampled and member.task is None and not member.elsewhere:
        yield "the key puts it in the sample of its period, and it has no audit task"
    elif member.task is not None and not sampled:
        yield "it has an audit task, and the key does not put it in the sample of a closed period"


def _period(member: AuditMember, audits: AuditView) -> AuditPeriod | None:
    found = audits.periods(model=member.population.model, week=member.population.week)
    return next((period for period in found if period.population == member.population), None)
