"""The floors file: hard constraints with an owner of their own. A policy can add to them, never take away."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from sidecar import errors
from sidecar.policy import categories, detectors, floors, loading
from sidecar.policy.actions import Reason
from sidecar.policy.detectors import CompiledDetector, Detectors
from sidecar.policy.fields import FileVersion, Strict, as_tuple
from sidecar.policy.model import MODEL_NAME, ConfidenceRange, Policy, Ranges
from sidecar.policy.tables import CategoryTable, ModelTable, compile_policy

KEYS = "`version`, and any of `mandatory_categories`, `models` and `detectors`"
SCHEMA_COMMAND = "trueband-sidecar check --floors-schema"


def _name(given: str) -> str:
    normal = categories.normalise(given)
    if not normal or not given.isprintable():
        raise ValueError(f"{given!r} is no name of a category: it is empty, or holds what cannot be seen")
    return normal


def _by_name(
    given: dict[str, tuple[ConfidenceRange, ...]],
) -> dict[str, tuple[ConfidenceRange, ...]]:
    normal: dict[str, tuple[ConfidenceRange, ...]] = {}
    for name, ranges in given.items():
        if _name(name) in normal:
            raise ValueError(f"{name!r} stands twice: names are compared in their normal form")
        normal[_name(name)] = tuple(sorted(set(ranges), key=lambda item: (item.from_, item.to)))
    return normal


CategoryNames = Annotated[
    tuple[str, ...],
    BeforeValidator(as_tuple),
    AfterValidator(lambda given: tuple(sorted({_name(name) for name in given}))),
]
"""In their normal form, each once, in order: what is written otherwise and means the same is the same."""


class ModelFloors(Strict):
    """What holds for one model, beside what holds for all."""

    mandatory_categories: CategoryNames = ()
    mandatory_ranges: Annotated[dict[str, Ranges], AfterValidator(_by_name)] = Field(default_factory=dict)


class Floors(Strict):
    """The whole file. It can name models that a policy does not have: one file may serve several sidecars."""

    version: FileVersion
    mandatory_categories: CategoryNames = ()
    models: dict[str, ModelFloors] = Field(default_factory=dict)
    detectors: Detectors = ()

    @field_validator("models")
    @classmethod
    def _names(cls, given: dict[str, ModelFloors]) -> dict[str, ModelFloors]:
        for name in given:
            if not MODEL_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no model name (letters, digits, . _ / -, at most 128)")
        return given


@dataclass(frozen=True, slots=True)
class LoadedFloors:
    """Floors with the canonical text that their digest stands for."""

    floors: Floors
    canonical: str
    digest: str


def parse(text: str, *, name: str = "floors") -> LoadedFloors:
    """The floors that a YAML (or JSON) text stands for; the digest is made as that of a policy.

    Raises:
        errors.FloorsRefused: naming each key that is wrong, and what is wrong with it.
    """
    try:
        content, canonical = loading.checked(text, Floors, name=name, keys=KEYS, schema=SCHEMA_COMMAND)
    except errors.PolicyRefused as error:
        raise errors.FloorsRefused(str(error)) from error
    return LoadedFloors(content, canonical, loading.digest_of(canonical))


def stored(text: str, digest: str) -> LoadedFloors:
    """The floors in a text that was kept under its digest, which is that of the text as it was kept.

    Raises:
        errors.FloorsRefused: the text is not the one that the digest stands for, or cannot be read.
    """
    found = loading.digest_of(text)
    if found != digest:
        raise errors.FloorsRefused(f"the stored floors have digest {found}, and are kept as {digest}")
    return LoadedFloors(parse(text, name=digest).floors, text, digest)


def text_of(path: Path) -> str:
    """The text of a floors file.

    Raises:
        errors.FloorsRefused: it cannot be read.
    """
    try:
        return loading.text_of(path)
    except errors.PolicyRefused as error:
        raise errors.FloorsRefused(str(error)) from error


def read(path: Path) -> LoadedFloors:
    """The floors in a file.

    Raises:
        errors.FloorsRefused: the file cannot be read, or has mistakes.
    """
    return parse(text_of(path), name=str(path))


def json_schema() -> dict[str, Any]:
    """JSON Schema of the floors file, for editors."""
    return Floors.model_json_schema(by_alias=True)


def merge(policy: Policy, given: Floors | None) -> MappingProxyType[str, ModelTable]:
    """The tables that decide: the policy's, narrowed by the floors.

    Whatever a policy alone leaves to a person, it still does; no cell permits more than before.
    """
    tables = compile_policy(policy)
    if given is None:
        return tables
    return MappingProxyType({name: _narrowed(table, given) for name, table in tables.items()})


def compiled_detectors(policy: Policy, given: Floors | None) -> tuple[CompiledDetector, ...]:
    """The floors' detectors and then the policy's. One name in both files is two detectors: both look."""
    own = detectors.compile_detectors(policy.detectors)
    return own if given is None else (*detectors.compile_detectors(given.detectors), *own)


def unused(tables: Mapping[str, ModelTable], given: Floors) -> tuple[str, ...]:
    """The models that the floors name and the policy does not have: right for another sidecar, or a typo."""
    return tuple(sorted(given.models.keys() - tables.keys()))


def _narrowed(table: ModelTable, given: Floors) -> ModelTable:
    own = given.models.get(table.name, ModelFloors())
    whole = {*given.mandatory_categories, *own.mandatory_categories}
    named = sorted(whole | own.mandatory_ranges.keys())
    changed = {
        name: _category(table, name, mandatory=name in whole, ranges=own.mandatory_ranges.get(name, ()))
        for name in named
    }
    return dataclasses.replace(table, listed=MappingProxyType({**table.listed, **changed}))


def _category(
    table: ModelTable, name: str, *, mandatory: bool, ranges: Iterable[ConfidenceRange]
) -> CategoryTable:
    """The category's table, narrowed; one that the policy does not list keeps what holds for such."""
    listed = table.listed.get(name) or dataclasses.replace(table.unlisted, name=name)
    present = {(lower, upper) for lower, upper, _ in listed.floored_ranges}
    added = tuple(
        (lower, upper, floors.mandatory_range(name, lower, upper))
        for lower, upper in ((float(item.from_), float(item.to)) for item in ranges)
        if (lower, upper) not in present
    )
    floor = listed.floor
    # A table has one floor for all confidences. Where one of another kind stands already, ranges could not be
    # told from it, and nothing acts there anyway: so all of the category is mandatory then.
    if mandatory or (added and floor is not None and floor.reason is not Reason.MANDATORY_REVIEW):
        own = floors.mandatory_category(name)
        kept = frozenset(own.permitted if floor is None else floor.permitted)
        floor = msgspec.structs.replace(
            own, permitted=tuple(action for action in own.permitted if action in kept)
        )
    return dataclasses.replace(listed, floor=floor, floored_ranges=(*listed.floored_ranges, *added))
