"""The errors of this project: one root, and the two that the mathematics raises."""

from typing import ClassVar


class TruebandError(Exception):
    """Trueband could not do what was asked.

    Every error of ours descends from this one. `code` is short and stable: a log field or a metric label can
    carry it. Raised without a message, an error says the first line of its class's docstring.
    """

    code: ClassVar[str] = "TRUEBAND_ERROR"

    def __init__(self, *args: object) -> None:
        super().__init__(*args or ((type(self).__doc__ or type(self).__name__).strip().splitlines()[0],))


class CalibratorRefused(TruebandError, ValueError):
    """The calibrator, or its document, cannot be accepted.

    `code` on the instance narrows the reason: DOCUMENT_TOO_LARGE, DOCUMENT_MALFORMED, SCHEMA_UNKNOWN,
    KIND_UNKNOWN, NOT_FINITE, NOT_MONOTONE, DIGEST_MISMATCH, GOLDEN_MISMATCH or OUT_OF_RANGE; without one it
    stays CALIBRATOR_REFUSED.
    """

    code = "CALIBRATOR_REFUSED"

    def __init__(self, *args: object, code: str | None = None) -> None:
        super().__init__(*args)
        if code is not None:
            # An instance may narrow what its class declares; the type system knows only the class's word.
            self.__dict__["code"] = code


class EvidenceUnusable(TruebandError, ValueError):
    """The evidence cannot be turned into a confidence."""

    code = "EVIDENCE_UNUSABLE"
