"""The verdict: what may happen to an answer, and why."""

import msgspec

from sidecar.policy.actions import Action, AnswerSource, Reason, TaskKind
from sidecar.policy.floors import FloorHit

BY_BAND: tuple[Reason, ...] = (Reason.BAND,)
"""The reasons of an answer that nothing but its band decided."""

BLOCKING_TASKS = {Action.HOLD_FOR_REVIEW: TaskKind.HOLD, Action.ESCALATE: TaskKind.ESCALATION}


class Verdict(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "raw_confidence": "raw",
        "calibrated_confidence": "calibrated",
        "lower_bound": "lower",
        "final_class": "class",
    },
):
    """What may happen to an answer, and why: of the primary model, or of the fallback step that cleared.

    Confidences are the primary's, since they are about its evidence; band, action, tasks and audit rate are those
    of the answer that decided, whose own confidence is in its step.

    Attributes:
        action: what happens.
        may_act: whether the answer may be acted on without a person.
        enforced: whether the model's mode is `enforce`.
        band: its name; empty where there is no number to cut bands on.
        raw_confidence: in [0, 1]; None where the evidence is of another kind than the policy's.
        calibrated_confidence: in [0, 1]; None where nothing calibrates it.
        lower_bound: of the calibrated one, where the calibrator carries a lower curve.
        reasons: in the order in which they arose.
        floors: every one that bound.
        mandatory: whether only a person may let the answer act.
        audit_rate: the planned propensity of the audit draw.
        audit_budget: the most that are sampled of what the rate draws in a week; 0: all.
        tasks: the review tasks that are opened without a draw.
        source: who gave the answer that decided.
        final_class: that answer, where it is a fallback step's; empty: the primary's stands.
    """

    action: Action
    may_act: bool = False
    enforced: bool = True
    band: str = ""
    raw_confidence: float | None = None
    calibrated_confidence: float | None = None
    lower_bound: float | None = None
    reasons: tuple[Reason, ...] = BY_BAND
    floors: tuple[FloorHit, ...] = ()
    mandatory: bool = False
    audit_rate: float = 0.0
    audit_budget: int = 0
    tasks: tuple[TaskKind, ...] = ()
    source: AnswerSource = AnswerSource.PRIMARY
    final_class: str = ""
