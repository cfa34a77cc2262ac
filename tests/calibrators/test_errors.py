"""The errors carry a stable code and always say something."""

import pytest

from calibrators import CalibratorRefused, EvidenceUnusable, TruebandError


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (TruebandError, "TRUEBAND_ERROR", "Trueband could not do what was asked."),
        (CalibratorRefused, "CALIBRATOR_REFUSED", "The calibrator, or its document, cannot be accepted."),
        (EvidenceUnusable, "EVIDENCE_UNUSABLE", "The evidence cannot be turned into a confidence."),
    ],
)
def test_a_bare_error_says_the_first_line_of_its_docstring(error, code, message):
    assert str(error()) == message
    assert error.code == error().code == code
    assert issubclass(error, TruebandError)
    assert str(error("x[3] is nan")) == "x[3] is nan"


def test_a_subclass_without_a_docstring_says_its_name():
    class LedgerAway(TruebandError):
        pass

    assert str(LedgerAway()) == "LedgerAway"


def test_a_refusal_narrows_its_code_on_the_instance_only():
    refused = CalibratorRefused("x[3] is nan", code="NOT_FINITE")
    assert refused.code == "NOT_FINITE"
    assert CalibratorRefused.code == "CALIBRATOR_REFUSED"
    assert isinstance(refused, ValueError)
