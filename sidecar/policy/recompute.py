"""Any decision, decided again from what was stored about it."""

import hashlib

import calibrators
from calibrators import Calibrator
from calibrators.errors import CalibratorRefused
from sidecar import errors
from sidecar.ledger.records import Decision
from sidecar.policy import loading
from sidecar.policy.actions import Action, Reason
from sidecar.policy.conclusion import SOURCES, conclude
from sidecar.policy.decide import Case, Verdict, decide
from sidecar.policy.model import Policy
from sidecar.policy.tables import compile_policy

QUEUE_REASONS = frozenset({Reason.REVIEW_DELAYED, Reason.REVIEW_UNAVAILABLE})
"""What the state of the queue added after the verdict; stored with the decision, not derived from it."""

REQUEST_REASONS = frozenset({Reason.DETECTOR, Reason.SUSPENDED})
"""The floors that bound the request rather than its category: stored, since neither is in the policy table."""

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

    Args:
        decision: as it was recorded.
        policy_text: what is stored behind its `policy_digest`.
        calibrator_text: what is stored behind its calibrator's digest; None where none was in force.

    Raises:
        errors.PolicyRefused: the text is not what the decision's digest stands for, or lacks its model.
        CalibratorRefused: the same of the calibrator's; or it is missing.
    """
    table = compile_policy(_policy(decision, policy_text)).get(decision.model)
    if table is None:
        raise errors.PolicyRefused(f"{decision.policy_digest} has no model {decision.model!r}")
    calibrator = _calibrator(decision, calibrator_text)
    case = Case(
        category=decision.category,
        evidence=decision.evidence,
        model_version=decision.model_version,
        intent=decision.intent,
        stale_seconds=decision.stale_seconds,
        floors=tuple(hit for hit in decision.floors if hit.reason in REQUEST_REASONS),
    )
    verdict = decide(case, table, calibrator)
    if not decision.steps:
        return verdict
    return conclude(
        verdict,
        tuple(step for step in decision.steps if step.step in SOURCES),
        final_class=decision.predicted_class,
        category=table.category(decision.category),
        chain=table.chain,
    ).verdict


def _policy(decision: Decision, text: str) -> Policy:
    found = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    if found != decision.policy_digest:
        raise errors.PolicyRefused(
            f"the stored policy has digest {found}; the decision was made under {decision.policy_digest}"
        )
    return loading.parse(text, name=found).policy


def _calibrator(decision: Decision, text: str | None) -> Calibrator | None:
    reference = decision.calibrator
    if reference is None:
        return None
    if text is None:
        raise CalibratorRefused(
            f"calibrator {reference.digest} is not in the ledger, and the decision names it"
        )
    calibrator = calibrators.loads(text)
    if calibrator.digest != reference.digest:
        raise CalibratorRefused(
            f"the stored calibrator has digest {calibrator.digest}; the decision names {reference.digest}",
            code="DIGEST_MISMATCH",
        )
    return calibrator


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
