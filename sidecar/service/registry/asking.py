"""Asking: one round of questions to a source, from its alias to an admitted calibrator."""

from collections.abc import Callable
from dataclasses import dataclass

from calibrators import Calibrator
from calibrators.errors import CalibratorRefused
from sidecar.errors import RegistryFailure
from sidecar.service.registry import admission, sources
from sidecar.service.registry.slots import CalibratorInForce, Expectation, Slot
from sidecar.service.registry.sources import Resolved, Source

ROUNDS = 3
SHIFTS_ROUTING = "CALIBRATOR_SHIFTS_ROUTING"

Judge = Callable[[Calibrator, Resolved], CalibratorRefused | None]
"""Looks at what an admitted newcomer would change; its refusal, or None."""

SlotJudge = Callable[[Slot, CalibratorInForce, Calibrator, Resolved], CalibratorRefused | None]
"""The same, told which slot it is about and what is in force there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of asking.

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
    slot: Slot,
    expected: Expectation,
    known: Resolved | None = None,
    refused: Answer | None = None,
    judge: Judge | None = None,
) -> Answer:
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
            return Answer(resolved=resolved, refusal=admission.revoked(resolved))
        if resolved == known:
            return Answer(resolved=resolved)
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
    source: Source, resolved: Resolved, slot: Slot, expected: Expectation, judge: Judge | None
) -> Answer:
    try:
        data = source.fetch(resolved)
        calibrator = admission.admit(data, slot=slot, expected=expected, resolved=resolved)
    except CalibratorRefused as refusal:
        return Answer(resolved=resolved, refusal=refusal)
    refused = None if judge is None else judge(calibrator, resolved)
    if refused is not None:
        return Answer(resolved=resolved, refusal=refused)
    return Answer(resolved=resolved, calibrator=calibrator)


def shifts(answer: Answer) -> bool:
    """Whether a newcomer was refused for what it would change, and for nothing else."""
    return answer.refusal is not None and answer.refusal.code == SHIFTS_ROUTING


def revoked(source: Source, known: Resolved | None, answer: Answer | None, failure: Exception | None) -> bool:
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
