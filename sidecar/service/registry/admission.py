"""Admission: the last gate before a calibrator goes in force."""

import calibrators
from calibrators import AppliesTo, Calibrator, evidence
from calibrators.errors import CalibratorRefused
from sidecar.service.registry.slots import Expectation, Slot
from sidecar.service.registry.sources import Resolved


def admit(data: bytes, *, slot: Slot, expected: Expectation, resolved: Resolved) -> Calibrator:
    """The calibrator in a document, if it may decide in a slot.

    Args:
        data: the document.
        slot: where it would be in force.
        expected: what the policy expects there.
        resolved: what the source said about it.

    Raises:
        CalibratorRefused: it was revoked (CALIBRATOR_REVOKED), it is not the document that was registered
            (DIGEST_MISMATCH), it was fitted for something else (EVIDENCE_MISMATCH), or the document itself
            is bad (the codes of `calibrators.loads`).
    """
    if resolved.revoked:
        raise revoked(resolved)
    calibrator = calibrators.loads(data)
    if resolved.digest is not None and resolved.digest != calibrator.digest:
        raise CalibratorRefused(
            f"{label(resolved)} holds a document with digest {calibrator.digest}, but was registered with "
            f"{resolved.digest}: its bytes were changed; register the calibrator again",
            code="DIGEST_MISMATCH",
        )
    problem = mismatch(calibrator.applies_to, slot=slot, expected=expected)
    if problem is not None:
        raise CalibratorRefused(f"{label(resolved)} {problem}", code="EVIDENCE_MISMATCH")
    return calibrator


def mismatch(applies_to: AppliesTo | None, *, slot: Slot, expected: Expectation) -> str | None:
    """Why a calibrator could never serve a slot, or None when it can serve at least some of its requests."""
    if applies_to is None:
        return (
            "does not say what it was fitted for: fit it with --model, --evidence, and --model-version or "
            "--any-version"
        )
    wanted_aggregation = evidence.effective_aggregation(expected.evidence, expected.aggregation)
    aggregation = evidence.effective_aggregation(applies_to.evidence, applies_to.aggregation)
    compared = (
        ("model", applies_to.model, slot.model),
        ("source", applies_to.source, slot.source.partition("/")[0]),
        ("evidence", applies_to.evidence, expected.evidence),
        ("aggregation", aggregation, wanted_aggregation),
        ("criterion", applies_to.criterion, expected.criterion),
    )
    for key, own, wanted in compared:
        if own != wanted:
            return (
                f"was fitted for {key} {own}, but the policy expects {wanted} in {slot.name}: "
                "register one that fits, or correct the policy"
            )
    versions = applies_to.model_versions
    if expected.model_version and versions is not None and expected.model_version not in versions:
        return (
            f"was fitted for model versions {', '.join(versions)}, but {slot.name} serves "
            f"{expected.model_version}: register one that fits, or correct the policy"
        )
    return None


def revoked(resolved: Resolved) -> CalibratorRefused:
    """The refusal of a version that somebody revoked."""
    return CalibratorRefused(
        f"{label(resolved)} was revoked: move the alias to another version", code="CALIBRATOR_REVOKED"
    )


def label(resolved: Resolved) -> str:
    """How messages name it."""
    return f"{resolved.name} version {resolved.version}" if resolved.version else resolved.name
