"""Content detectors: patterns over the context that raise a floor. They can raise, never lower."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sidecar.policy import categories, expressions
from sidecar.policy.actions import PERSON_ACTIONS, Reason
from sidecar.policy.expressions import Pattern
from sidecar.policy.fields import Strict, as_tuple
from sidecar.policy.floors import FloorHit

UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""What ASCII has of characters that a reader does not see; tabs and line breaks are seen."""

BREAKS = re.compile("[\x0b\x0c\x1c-\x1f\x85]")
"""Controls that count as white space and that no reader sees: they may part words, or hide in one."""


class Detector(Strict):
    """A pattern that marks an answer as one of a category that a person must see.

    `fields` are keys of the context; all of it is looked at where they are left out.
    """

    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")
    category: str = Field(min_length=1, max_length=256)
    fields_: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(as_tuple)] = Field(
        (), alias="fields"
    )
    pattern: str
    ignore_case: bool = True

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not categories.normalise(self.category):
            raise ValueError("category: an empty name")
        if expressions.compile_pattern(self.pattern, ignore_case=self.ignore_case).found_in(""):
            raise ValueError(f"pattern {self.pattern!r} matches an empty text, so it would hold everything")
        return self


def _unique(detectors: tuple[Detector, ...]) -> tuple[Detector, ...]:
    names = [detector.name for detector in detectors]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two detectors have the name {twice!r}")
    return detectors


Detectors = Annotated[tuple[Detector, ...], BeforeValidator(as_tuple), AfterValidator(_unique)]
"""The type of the policy's key `detectors`."""


@dataclass(frozen=True, slots=True)
class CompiledDetector:
    """A detector with its pattern compiled and its floor ready made."""

    fields: tuple[str, ...]
    pattern: Pattern
    ignore_case: bool
    floor: FloorHit


def compile_detectors(detectors: Iterable[Detector]) -> tuple[CompiledDetector, ...]:
    """Detectors for `hits`, in the policy's order."""
    return tuple(
        CompiledDetector(
            detector.fields_,
            expressions.compile_pattern(detector.pattern, ignore_case=detector.ignore_case),
            detector.ignore_case,
            FloorHit(
                floor=f"detector:{detector.name}:{categories.normalise(detector.category)}",
                reason=Reason.DETECTOR,
                permitted=tuple(sorted(PERSON_ACTIONS)),
            ),
        )
        for detector in detectors
    )


def hits(detectors: Sequence[CompiledDetector], context: Mapping[str, str]) -> tuple[FloorHit, ...]:
    """The floor of every detector that finds its pattern, in the policy's order.

    The declared category is no argument: it cannot cancel a detector. A text is searched as it is and, where it
    may hold something that a reader does not see, once more in NFKC without that, since it would hide a word;
    and, where case does not count, folded as the names of categories are. A text that cannot be read counts as a hit.
    """
    if not detectors or not context:
        return ()
    readable: dict[str, _Forms | None] = {}
    raised = []
    for detector in detectors:
        for field in detector.fields or context:
            text = context.get(field)
            if not text:
                continue
            if field not in readable:
                readable[field] = _forms(text)
            forms = readable[field]
            if forms is None or any(map(detector.pattern.found_in, forms.all(detector.ignore_case))):
                raised.append(detector.floor)
                break
    return tuple(raised)


@dataclass(frozen=True, slots=True)
class _Forms:
    """The ways in which a text is read: as it is, without what cannot be seen, and folded."""

    visible: tuple[str, ...]
    folded: tuple[str, ...] = ()

    def all(self, ignore_case: bool) -> tuple[str, ...]:
        return self.visible + self.folded if ignore_case else self.visible


def _forms(text: str) -> _Forms | None:
    if text.isascii() and not UNSEEN.search(text):
        return _Forms((text,))
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    parted = [text] if BREAKS.search(text) is None else [BREAKS.sub(" ", text), BREAKS.sub("", text)]
    return _Forms(
        tuple(dict.fromkeys([text, *map(categories.visible, parted)])),
        tuple(dict.fromkeys(map(categories.folded, parted))),
    )
