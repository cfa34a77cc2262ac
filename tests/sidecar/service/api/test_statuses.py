"""The one place where an error becomes a gRPC status."""

import pytest
from google.rpc import code_pb2, error_details_pb2

import sidecar.errors
from calibrators.errors import CalibratorRefused, EvidenceUnusable, TruebandError
from sidecar import errors
from sidecar.service.api import statuses


def details(status):
    found = {}
    for packed in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            if packed.Is(kind.DESCRIPTOR):
                message = kind()
                assert packed.Unpack(message)
                found[kind.__name__] = message
    assert len(found) == len(status.details)
    return found


VIOLATION = errors.Violation("evidence.score.confidence", "score must be between 0 and 1, and is nan")


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (errors.InvalidRequest((VIOLATION,)), code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (EvidenceUnusable("no"), code_pb2.INVALID_ARGUMENT, "EVIDENCE_UNUSABLE"),
        (errors.UnknownModel("no"), code_pb2.NOT_FOUND, "MODEL_UNKNOWN"),
        (errors.NotFound("no"), code_pb2.NOT_FOUND, "NOT_FOUND"),
        (errors.RequestIdReused(), code_pb2.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
        (errors.JournalUnavailable(), code_pb2.UNAVAILABLE, "JOURNAL_UNAVAILABLE"),
        (errors.LedgerUnavailable(), code_pb2.UNAVAILABLE, "LEDGER_UNAVAILABLE"),
        (errors.NotSupported(), code_pb2.UNIMPLEMENTED, "NOT_SUPPORTED"),
        (errors.PolicyRefused("no"), code_pb2.FAILED_PRECONDITION, "POLICY_REFUSED"),
        (errors.FloorsRefused("no"), code_pb2.FAILED_PRECONDITION, "FLOORS_REFUSED"),
        (errors.SuspensionsNotKept("no"), code_pb2.UNAVAILABLE, "SUSPENSIONS_NOT_KEPT"),
        (CalibratorRefused("no", code="NOT_FINITE"), code_pb2.FAILED_PRECONDITION, "NOT_FINITE"),
        (errors.RegistryFailure("no", code="REGISTRY_TIMEOUT"), code_pb2.UNAVAILABLE, "REGISTRY_TIMEOUT"),
        (TruebandError(), code_pb2.INTERNAL, "TRUEBAND_ERROR"),
    ],
)
def test_an_error_has_its_code_and_its_reason(error, code, reason):
    status = statuses.status_of(error)
    found = details(status)
    assert status.code == code
    assert status.message == str(error)
    assert (found["ErrorInfo"].reason, found["ErrorInfo"].domain) == (reason, "trueband")
    assert ("RetryInfo" in found) == (code == code_pb2.UNAVAILABLE)
    assert ("BadRequest" in found) == (reason == "INVALID_REQUEST")


def test_an_error_that_may_pass_says_when_to_try_again():
    assert details(statuses.status_of(errors.JournalUnavailable()))["RetryInfo"].retry_delay.seconds == 2


def test_a_bad_field_is_named():
    (violation,) = details(statuses.status_of(errors.InvalidRequest((VIOLATION,))))[
        "BadRequest"
    ].field_violations
    assert (violation.field, violation.description) == (VIOLATION.field, VIOLATION.description)


@pytest.mark.parametrize(
    "error", [ValueError("the password is hunter2"), KeyError("hunter2"), OSError("hunter2")]
)
def test_the_text_of_an_unknown_error_stays_here(error):
    status = statuses.status_of(error)
    assert status.code == code_pb2.INTERNAL
    assert b"hunter2" not in status.SerializeToString()
    assert details(status)["ErrorInfo"].reason == "INTERNAL"


def test_every_error_of_the_service_that_a_call_can_meet_is_mapped():
    own = {each for each in vars(sidecar.errors).values() if isinstance(each, type)}
    own = {each for each in own if issubclass(each, TruebandError) and each is not TruebandError}
    mapped = {each for each in own if issubclass(each, tuple(statuses.CODES))}
    # What can only keep a process from starting never meets a call.
    assert own - mapped == {errors.SettingsRefused, errors.SuspensionsUnreadable}
    codes = [each.code for each in own]
    assert len(set(codes)) == len(codes)
    assert all(code == code.upper() for code in codes)


def test_a_status_fits_into_the_metadata_that_carries_it():
    """8 KiB is what most peers take: the percent-encoded message and the details in base64, together."""
    violations = tuple(errors.Violation(f"attributes[{'价' * 64}{n}]", "格" * 5000) for n in range(64))
    status = statuses.status_of(errors.InvalidRequest(violations))
    encoded = len(status.message.encode()) * 3 + len(status.SerializeToString()) * 4 / 3
    assert encoded < 7 * 1024
    named = details(status)["BadRequest"].field_violations
    assert len(named) == 10
    assert named[-1].description == "55 further fields are wrong"
    assert all(each.description.endswith("...") for each in named[:-1])
    long = statuses.status_of(errors.UnknownModel("模" * 10_000))
    assert len(long.message.encode()) <= 512


def test_a_cut_text_stays_text():
    for length in range(4, 40):
        cut = errors.brief("a模型🎉" * 20, length)
        assert len(cut.encode()) <= length
        assert cut.endswith("...")
    assert errors.brief("short", 5) == "short"
    assert errors.brief("half \ud800 a character", 64) == "half ? a character"
