"""The closed vocabularies of a decision: actions, reasons, sources, intents."""

from enum import StrEnum


class Action(StrEnum):
    """What may happen to an answer."""

    AUTO_ROUTE = "AUTO_ROUTE"
    AUTO_ROUTE_FLAGGED = "AUTO_ROUTE_FLAGGED"
    HOLD_FOR_REVIEW = "HOLD_FOR_REVIEW"
    ESCALATE = "ESCALATE"
    REJECT = "REJECT"
    UNCERTAIN = "UNCERTAIN"


class Reason(StrEnum):
    """Why a decision is what it is; the names of the contract's enum of the same name."""

    BAND = "BAND"
    MANDATORY_REVIEW = "MANDATORY_REVIEW"
    UNKNOWN_CATEGORY = "UNKNOWN_CATEGORY"
    NO_CALIBRATOR = "NO_CALIBRATOR"
    CALIBRATOR_STALE = "CALIBRATOR_STALE"
    MODEL_VERSION_UNCALIBRATED = "MODEL_VERSION_UNCALIBRATED"
    EVIDENCE_MISMATCH = "EVIDENCE_MISMATCH"
    TRUNCATED_GENERATION = "TRUNCATED_GENERATION"
    DETECTOR = "DETECTOR"
    SUSPENDED = "SUSPENDED"
    REVIEW_DELAYED = "REVIEW_DELAYED"
    REVIEW_UNAVAILABLE = "REVIEW_UNAVAILABLE"
    OBSERVE_MODE = "OBSERVE_MODE"
    SHADOW = "SHADOW"
    RULE = "RULE"
    SECONDARY = "SECONDARY"
    DEADLINE = "DEADLINE"
    ANSWER_UNCALIBRATED = "ANSWER_UNCALIBRATED"
    INVARIANT_GUARD = "INVARIANT_GUARD"


class AnswerSource(StrEnum):
    """Who decided the final class."""

    PRIMARY = "PRIMARY"
    RULES = "RULES"
    SECONDARY = "SECONDARY"


class Intent(StrEnum):
    """Whether the caller acts on the answer if it may."""

    LIVE = "LIVE"
    SHADOW = "SHADOW"


class TaskKind(StrEnum):
    """Why a review task exists."""

    HOLD = "HOLD"
    BATCH = "BATCH"
    AUDIT = "AUDIT"
    ESCALATION = "ESCALATION"
    ADJUDICATION = "ADJUDICATION"


ALL_ACTIONS = frozenset(Action)
AUTOMATIC_ACTIONS = frozenset({Action.AUTO_ROUTE, Action.AUTO_ROUTE_FLAGGED})
"""The actions that let the caller act."""

PERSON_ACTIONS = frozenset({Action.HOLD_FOR_REVIEW, Action.ESCALATE, Action.UNCERTAIN})
"""All that a mandatory category may get: REJECT is missing, since it decides without a person too."""
