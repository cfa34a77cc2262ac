"""A fetch: one round of questions to a source, from its alias to a calibrator that is admitted."""

from collections.abc import Callable
from dataclasses import dataclass

import calibrators
from calibrators import AppliesTo, Calibrator, evidence
from calibrators.errors import CalibratorRefused
from sidecar import dialect
from sidecar.errors import RegistryFailure
from sidecar.service.registry import sources
from sidecar.service.registry.slots import CalibratorInForce, CalibratorSlot, Expectation
from sidecar.service.registry.sources import Resolved, Source

ROUNDS = 3
SHIFTS_ROUTING = "CALIBRATOR_SHIFTS_ROUTING"
"""The code of the refusal of a newcomer that would change too much."""

Judge = Callable[[Calibrator, Resolved], CalibratorRefused | None]
"""Looks at what an admitted newcomer would change; its refusal, or None."""

SlotJudge = Callable[[CalibratorSlot, CalibratorInForce, Calibrator, Resolved], CalibratorRefused | None]
"""The same, told which slot it is about and what is in force there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """What came of asking a source.

    Attributes:
        resolved: what the source says is current; it said so before and after the document was read.
        calibrator: the admitted newcomer; None where what is known is still current, or on a refusal.
        refusal: why the newcomer was not admitted.
    """

    resolved: Resolved
    calibrator: Calibrator | None = None
    refusal: CalibratorRefused | None = None


def ask(
    source: Source,
    *,
    slot: CalibratorSlot,
    expected: Expectation,
    known: Resolved | None = None,
    refused: Fetch | None = None,
    judge: Judge | None = None,
) -> Fetch:
    """What the source says now; its document is read only if that is news.

    An alias that is moved while the document is on its way would put in force what nobody calls current any
    more, so it is read again at the end and must still say the same.

    Args:
        source: the source.
        slot: where the calibrator would be in force.
        expected: what the policy expects there.
        known: what is in force.
        refused: an earlier refusal, which stands for as long as the source says the same.
        judge: asked last about a newcomer that may otherwise be taken.

    Raises:
        RegistryFailure: the source cannot be read, or its answer changed each time.
    """
    resolved = source.current()
    for _ in range(ROUNDS):
        if resolved.revoked:
            return Fetch(resolved=resolved, refusal=dialect.revoked(_label(resolved)))
        if resolved == known:
            return Fetch(resolved=resolved)
        if refused is not None and resolved == refused.resolved:
            return refused
        answer = _examine(source, resolved, slot, expected, judge)
        again = source.current()
        if again == resolved:
            return answer
        resolved = again
    raise RegistryFailure(
        f"{expected.uri} named another calibrator each time it was read: something keeps moving it",
        code="CALIBRATOR_MOVED",
    )


def _examine(
    source: Source, resolved: Resolved, slot: CalibratorSlot, expected: Expectation, judge: Judge | None
) -> Fetch:
    try:
        data = source.fetch(resolved)
        calibrator = admit(data, slot=slot, expected=expected, resolved=resolved)
    except CalibratorRefused as refusal:
        return Fetch(resolved=resolved, refusal=refusal)
    refused = None if judge is None else judge(calibrator, resolved)
    if refused is not None:
        return Fetch(resolved=resolved, refusal=refused)
    return Fetch(resolved=resolved, calibrator=calibrator)


def admit(data: bytes, *, slot: CalibratorSlot, expected: Expectation, resolved: Resolved) -> Calibrator:
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
        raise dialect.revoked(_label(resolved))
    calibrator = calibrators.loads(data)
    if resolved.digest is not None and resolved.digest != calibrator.digest:
        raise dialect.altered(_label(resolved), calibrator.digest, resolved.digest)
    problem = mismatch(calibrator.applies_to, slot=slot, expected=expected)
    if problem is not None:
        raise CalibratorRefused(f"{_label(resolved)} {problem}", code="EVIDENCE_MISMATCH")
    return calibrator


def mismatch(applies_to: AppliesTo | None, *, slot: CalibratorSlot, expected: Expectation) -> str | None:
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


def shifts(answer: Fetch) -> bool:
    """Whether a newcomer was refused for what it would change, and for nothing else."""
    return answer.refusal is not None and answer.refusal.code == SHIFTS_ROUTING


def revoked(source: Source, known: Resolved | None, answer: Fetch | None, failure: Exception | None) -> bool:
    """Whether what is in force was revoked, asked when nothing newer can take its place.

    Args:
        source: the source.
        known: what is in force; None where nothing is.
        answer: what asking gave, if anything.
        failure: what asking failed with, if it did.
    """
    if known is None:
        return False
    if answer is not None:
        if answer.refusal is None:
            return False
        if (answer.resolved.name, answer.resolved.version) == (known.name, known.version):
            return answer.resolved.revoked
    elif not isinstance(failure, RegistryFailure) or failure.code not in sources.ANSWERED:
        return False
    try:
        return source.revoked(known.version)
    except RegistryFailure:
        return False


def _label(resolved: Resolved) -> str:
    """How messages name it."""
    return f"{resolved.name} version {resolved.version}" if resolved.version else resolved.name
