"""Any decision, decided again from what was stored about it."""

import calibrators
from calibrators import Calibrator
from calibrators.errors import CalibratorRefused
from sidecar import errors
from sidecar.decision.conclusion import SOURCES, Conclusion, conclude
from sidecar.decision.decide import Case, Verdict, decide
from sidecar.decision.records import Decision
from sidecar.policy import floors_file, loading
from sidecar.policy.actions import Action, Reason
from sidecar.policy.floors import FloorHit
from sidecar.policy.floors_file import Floors
from sidecar.policy.tables import ModelTable

QUEUE_REASONS = frozenset({Reason.REVIEW_DELAYED, Reason.REVIEW_UNAVAILABLE})
"""What the state of the queue added after the verdict; stored with the decision, not derived from it."""

REQUEST_REASONS = frozenset({Reason.DETECTOR, Reason.SUSPENDED})
"""The floors that bound the request, not its category: stored, since neither is in the policy table."""

COMPARED = (
    "action",
    "may_act",
    "enforced",
    "band",
    "raw_confidence",
    "calibrated_confidence",
    "lower_bound",
    "reasons",
    "floors",
    "mandatory",
    "audit_rate",
    "audit_budget",
)


def recompute(
    decision: Decision, policy_text: str, calibrator_text: str | None, floors_text: str | None = None
) -> Verdict:
    """The verdict that the stored inputs lead to, bit for bit, under what is stored behind the digests.

    Args:
        decision: as it was recorded.
        policy_text: what is stored behind its `policy_digest`.
        calibrator_text: what is stored behind its calibrator's digest; None where none was in force.
        floors_text: what is stored behind its `floors_digest`; None where there were none.

    Raises:
        errors.PolicyRefused: a text is not what the decision's digest stands for, or lacks its model.
        CalibratorRefused: the same of the calibrator's; or it is missing.
    """
    floors = _floors(decision, floors_text)
    policy = loading.stored(policy_text, decision.policy_digest).policy
    table = floors_file.merge(policy, floors).get(decision.model)
    if table is None:
        raise errors.PolicyRefused(f"{decision.policy_digest} has no model {decision.model!r}")
    calibrator = _calibrator(decision, calibrator_text)
    recorded = tuple(hit for hit in decision.floors if hit.reason in REQUEST_REASONS)
    return again(decision, table, calibrator, recorded).verdict


def again(
    decision: Decision, table: ModelTable, calibrator: Calibrator | None, floors: tuple[FloorHit, ...]
) -> Conclusion:
    """What the stored inputs and step outcomes of a decision come to under a table.

    Args:
        decision: as it was recorded.
        table: of its model; not necessarily that under which it was made.
        calibrator: of the primary model.
        floors: that bind the request beside its category's own: detectors and suspensions.
    """
    case = Case(
        category=decision.category,
        evidence=decision.evidence,
        model_version=decision.model_version,
        intent=decision.intent,
        stale_seconds=decision.stale_seconds,
        floors=floors,
    )
    return conclude(
        decide(case, table, calibrator),
        tuple(step for step in decision.steps if step.step in SOURCES),
        final_class=decision.predicted_class,
        category=table.category(decision.category),
        chain=table.chain,
    )


def _floors(decision: Decision, text: str | None) -> Floors | None:
    if text is None:
        if decision.floors_digest:
            raise errors.FloorsRefused(
                f"floors {decision.floors_digest} are not in the ledger, and the decision names them"
            )
        return None
    return floors_file.stored(text, decision.floors_digest).floors


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
