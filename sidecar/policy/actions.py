"""The closed vocabularies of a decision: actions, reasons, sources, intents."""

from enum import StrEnum


class Term(StrEnum):
    """A word of a closed vocabulary."""

    # The library's hash is a Python function, and terms are looked up some twenty times for every answer.
    __hash__ = str.__hash__


class Action(Term):
    """What may happen to an answer."""

    AUTO_ROUTE = "AUTO_ROUTE"
    AUTO_ROUTE_FLAGGED = "AUTO_ROUTE_FLAGGED"
    HOLD_FOR_REVIEW = "HOLD_FOR_REVIEW"
    ESCALATE = "ESCALATE"
    REJECT = "REJECT"
    UNCERTAIN = "UNCERTAIN"


class Reason(Term):
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
    NO_LOWER_BOUND = "NO_LOWER_BOUND"
    REJECT_UNPROVEN = "REJECT_UNPROVEN"
    INVARIANT_GUARD = "INVARIANT_GUARD"
    SUSPENSIONS_UNKNOWN = "SUSPENSIONS_UNKNOWN"
    CONTEXT_MISSING = "CONTEXT_MISSING"


class AnswerSource(Term):
    """Who decided the final class."""

    PRIMARY = "PRIMARY"
    RULES = "RULES"
    SECONDARY = "SECONDARY"


class Intent(Term):
    """Whether the caller acts on the answer if it may."""

    LIVE = "LIVE"
    SHADOW = "SHADOW"


class TaskKind(Term):
    """Why a review task exists."""

    HOLD = "HOLD"
    BATCH = "BATCH"
    AUDIT = "AUDIT"
    ESCALATION = "ESCALATION"
    ADJUDICATION = "ADJUDICATION"


AUTOMATIC_ACTIONS = frozenset({Action.AUTO_ROUTE, Action.AUTO_ROUTE_FLAGGED})
"""The actions that let the caller act."""

PERSON_ACTIONS = frozenset({Action.HOLD_FOR_REVIEW, Action.ESCALATE, Action.UNCERTAIN})
"""All that a mandatory category may get: REJECT is missing, since it decides without a person too."""
