"""A fetch: what may go in force, and in which slot."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

import calibrators
from calibrators import Calibrator, CalibratorRefused, Platt
from sidecar.policy import loading
from sidecar.service.registry import CalibratorSlot, Expectation, Resolved, expectations, fetch

EXPECTED = Expectation(uri="models:/cal@champion", evidence="score")
SLOT = CalibratorSlot("m")
RESOLVED = Resolved(name="cal", version="3")


def admit(
    calibrator: Calibrator | bytes,
    *,
    slot: CalibratorSlot = SLOT,
    expected: Expectation = EXPECTED,
    **resolved: object,
) -> Calibrator:
    data = calibrator if isinstance(calibrator, bytes) else calibrators.dumps(calibrator).encode()
    return fetch.admit(data, slot=slot, expected=expected, resolved=replace(RESOLVED, **resolved))


def refusal(calibrator: Calibrator | bytes, **options: object) -> CalibratorRefused:
    with pytest.raises(CalibratorRefused) as refused:
        admit(calibrator, **options)  # type: ignore[arg-type]
    return refused.value


def test_what_fits_is_admitted(make_calibrator: Callable[..., Calibrator]) -> None:
    calibrator = make_calibrator()
    assert admit(calibrator) == calibrator
    assert admit(calibrator, digest=calibrator.digest) == calibrator


def test_another_document_than_the_registered_one_is_refused(
    make_calibrator: Callable[..., Calibrator],
) -> None:
    refused = refusal(make_calibrator(1.5), digest=make_calibrator(1.25).digest)
    assert refused.code == "DIGEST_MISMATCH"
    assert "cal version 3" in str(refused)


def test_a_revoked_version_is_refused_before_its_document_is_read() -> None:
    refused = refusal(b"not even json", revoked=True)
    assert refused.code == "CALIBRATOR_REVOKED"
    assert "move the alias" in str(refused)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"{}",
        lambda _: b"\xff\xfe",
        lambda _: b"[" * 100_000,
        lambda document: b" " * (1 << 20) + document,
        lambda document: document.replace(b'"schema":1', b'"schema":2'),
        lambda document: document.replace(b"-0.125", b"NaN"),
        lambda document: document.replace(b"-0.125", b"-0.25"),
    ],
)
def test_a_bad_document_is_refused_with_a_code(
    change: Callable[[bytes], bytes], make_calibrator: Callable[..., Calibrator]
) -> None:
    good = json.dumps(json.loads(calibrators.dumps(make_calibrator())), separators=(",", ":")).encode()
    assert admit(good) == make_calibrator()
    bad = change(good)
    assert bad != good
    assert refusal(bad).code in {
        "DOCUMENT_MALFORMED",
        "DOCUMENT_TOO_LARGE",
        "SCHEMA_UNKNOWN",
        "NOT_FINITE",
        "DIGEST_MISMATCH",
        "GOLDEN_MISMATCH",
    }


@pytest.mark.parametrize(
    ("applies_to", "word"),
    [
        ({"model": "another"}, "model another"),
        ({"source": "secondary"}, "source secondary"),
        ({"evidence": "positive_probability"}, "evidence positive_probability"),
        ({"evidence": "token_logprobs", "aggregation": "mean"}, "evidence token_logprobs"),
        ({"criterion": "tone"}, "criterion tone"),
    ],
)
def test_a_calibrator_that_was_fitted_for_something_else_is_refused(
    applies_to: dict[str, str], word: str, make_calibrator: Callable[..., Calibrator]
) -> None:
    refused = refusal(make_calibrator(**applies_to))
    assert refused.code == "EVIDENCE_MISMATCH"
    assert f"was fitted for {word}, but the policy expects" in str(refused)


def test_aggregations_are_compared_by_what_they_mean(make_calibrator: Callable[..., Calibrator]) -> None:
    tokens = replace(EXPECTED, evidence="token_logprobs")
    fitted = make_calibrator(evidence="token_logprobs")
    assert admit(fitted, expected=tokens) == fitted
    assert admit(fitted, expected=replace(tokens, aggregation="mean")) == fitted
    assert refusal(fitted, expected=replace(tokens, aggregation="sum")).code == "EVIDENCE_MISMATCH"


def test_a_document_that_does_not_say_what_it_is_for_is_refused() -> None:
    refused = refusal(Calibrator(map=Platt(slope=1.0, intercept=0.0, on="logit")))
    assert refused.code == "EVIDENCE_MISMATCH"
    assert "--model" in str(refused)


def test_model_versions(make_calibrator: Callable[..., Calibrator]) -> None:
    narrow = make_calibrator(model_versions=("v7", "v8"))
    several = EXPECTED
    assert admit(narrow, expected=several) == narrow  # it serves the requests that name v7 or v8
    fixed = replace(EXPECTED, model_version="v8")
    assert admit(narrow, expected=fixed) == narrow
    assert admit(make_calibrator(), expected=fixed) == make_calibrator()
    refused = refusal(narrow, slot=CalibratorSlot("m", "v9"), expected=replace(EXPECTED, model_version="v9"))
    assert refused.code == "EVIDENCE_MISMATCH"
    assert "v7, v8" in str(refused)


def test_every_calibrator_that_is_admitted_can_serve_a_request(
    make_calibrator: Callable[..., Calibrator],
) -> None:
    """Admission and the check of each request agree about what never matches."""
    variants = [
        {},
        {"model": "another"},
        {"source": "rules"},
        {"evidence": "positive_probability"},
        {"criterion": "tone"},
        {"model_versions": ("v8",)},
        {"model_versions": ("v9",)},
    ]
    for variant in variants:
        calibrator = make_calibrator(**variant)
        problem = fetch.mismatch(
            calibrator.applies_to,
            slot=CalibratorSlot("m", "v8"),
            expected=replace(EXPECTED, model_version="v8"),
        )
        served = calibrators.matches(
            calibrator.applies_to,
            model="m",
            model_version="v8",
            source="primary",
            evidence_kind="score",
            aggregation="none",
            criterion="correct",
            answer_is_top=True,
        )
        assert (problem is None) == (served is None), variant


POLICY = """
version: 1
models:
  plain:
    calibrator: models:/plain@champion
    evidence: score
  versioned:
    calibrator: models:/versioned@champion
    versions: {v8: models:/versioned/12, v9: "file:/etc/v9.json"}
    model_version: required
    evidence: token_logprobs
    criterion: helpful
  fixed:
    calibrator: file:fixed.json
    model_version: v3
    evidence: logits
    classes: [a, b]
"""


def test_the_slots_of_a_policy() -> None:
    slots = expectations(loading.parse(POLICY).policy)
    tokens = {"evidence": "token_logprobs", "aggregation": "mean", "criterion": "helpful"}
    assert slots == {
        CalibratorSlot("plain"): Expectation(uri="models:/plain@champion", evidence="score"),
        CalibratorSlot("versioned"): Expectation(uri="models:/versioned@champion", **tokens),
        CalibratorSlot("versioned", "v8"): Expectation(
            uri="models:/versioned/12", model_version="v8", **tokens
        ),
        CalibratorSlot("versioned", "v9"): Expectation(uri="file:/etc/v9.json", model_version="v9", **tokens),
        CalibratorSlot("fixed"): Expectation(uri="file:fixed.json", evidence="logits", model_version="v3"),
    }
    assert [slot.name for slot in slots][:3] == [
        "calibrator:plain",
        "calibrator:versioned",
        "calibrator:versioned:v8",
    ]
    assert slots[("plain", "", "primary")].uri == "models:/plain@champion"  # type: ignore[index]  # a tuple
