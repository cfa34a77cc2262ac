"""Any decision, decided again from what was stored about it."""

import calibrators
from sidecar.ledger.records import Decision
from sidecar.policy import loading
from sidecar.policy.actions import Action, Reason
from sidecar.policy.decide import Case, Verdict, decide
from sidecar.policy.tables import compile_policy

QUEUE_REASONS = frozenset({Reason.REVIEW_DELAYED, Reason.REVIEW_UNAVAILABLE})
"""What the state of the queue added after the verdict; stored with the decision, not derived from it."""

COMPARED = (
    "action",
    "may_act",
    "enforced",
    "band",
    "raw_confidence",
    "calibrated_confidence",
    "reasons",
    "floors",
    "mandatory",
    "audit_rate",
)


def recompute(decision: Decision, policy_text: str, calibrator_text: str | None) -> Verdict:
    """The verdict that the stored inputs lead to, bit for bit, under the stored policy and calibrator.

    Raises:
        errors.PolicyRefused, CalibratorRefused: a stored text is not what its digest says.
        KeyError: the policy does not name the decision's model.
    """
    table = compile_policy(loading.parse(policy_text, name=decision.policy_digest).policy)[decision.model]
    calibrator = None if calibrator_text is None else calibrators.loads(calibrator_text)
    case = Case(
        category=decision.category,
        evidence=decision.evidence,
        model_version=decision.model_version,
        intent=decision.intent,
        stale_seconds=decision.stale_seconds,
    )
    return decide(case, table, calibrator)


def differences(decision: Decision, verdict: Verdict) -> list[str]:
    """What was answered otherwise than recomputed, a sentence each; empty when all agrees to the last bit."""
    answered = {name: getattr(decision, name) for name in COMPARED}
    again = {name: getattr(verdict, name) for name in COMPARED}
    answered["reasons"] = tuple(reason for reason in decision.reasons if reason not in QUEUE_REASONS)
    if Reason.REVIEW_UNAVAILABLE in decision.reasons:
        again["action"] = Action.UNCERTAIN
    return [
        f"{name}: answered {answered[name]!r}, recomputed {again[name]!r}"
        for name in COMPARED
        if answered[name] != again[name]
    ]
