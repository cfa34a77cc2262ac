"""What one policy does otherwise than another, each under its floors: key by key, and cell by cell."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sidecar.decision import proofs
from sidecar.decision.decide import settle
from sidecar.policy import floors_file
from sidecar.policy.actions import Action, Intent, Reason
from sidecar.policy.detectors import Detector
from sidecar.policy.floors_file import LoadedFloors
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.tables import ModelTable

IDENTITIES = ("name", "step")
"""Keys that tell the items of a list apart, so that a new one does not seem to change those behind it."""

ABSENT = "(absent)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A policy and the floors that bind it."""

    policy: LoadedPolicy
    floors: LoadedFloors | None = None

    def tables(self) -> Mapping[str, ModelTable]:
        """The tables that decide."""
        return floors_file.merge(self.policy.policy, None if self.floors is None else self.floors.floors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A key of a file whose value is another one; `(absent)` where a side has none."""

    key: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellChange:
    """Another action for the calibrated confidences of an interval, closed below and open above (1 closed).

    `states` are those of the calibrator in which it is so: `in force`, or the Reason in the way.
    """

    model: str
    category: str
    lower: float
    upper: float
    states: tuple[str, ...]
    old: Action
    new: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class MandatoryChange:
    """An interval of confidence in which review becomes mandatory, or (`gained` is false) is not any more."""

    model: str
    category: str
    lower: float
    upper: float
    gained: bool


def settings(old: Side, new: Side) -> list[Setting]:
    """The keys that differ, with every default filled in: the policy's, and the floors' under `floors`."""
    before, after = _flat(old), _flat(new)
    return [
        Setting(key=key, old=before.get(key, ABSENT), new=after.get(key, ABSENT))
        for key in sorted(before.keys() | after.keys())
        if before.get(key, ABSENT) != after.get(key, ABSENT)
    ]


def cells(old: Side, new: Side) -> list[CellChange]:
    """Every cell of the models that both have whose action differs; alike neighbours are one."""
    changes: list[CellChange] = []
    for before, after, category, lower, upper in _intervals(old.tables(), new.tables()):
        changed: dict[tuple[Action, Action], list[str]] = {}
        for state in (None, *proofs.PROBLEMS):
            pair = _action(before, category, lower, state), _action(after, category, lower, state)
            if pair[0] is not pair[1]:
                changed.setdefault(pair, []).append(proofs.IN_FORCE if state is None else state.value)
        for (action, instead), states in changed.items():
            change = CellChange(
                model=before.name,
                category=category or proofs.UNLISTED,
                lower=lower,
                upper=upper,
                states=tuple(states),
                old=action,
                new=instead,
            )
            _join(changes, change)
    return changes


def mandatory(old: Side, new: Side) -> list[MandatoryChange]:
    """Where review becomes mandatory, or is not any more, in the models that both have."""
    changes: list[MandatoryChange] = []
    for before, after, category, lower, upper in _intervals(old.tables(), new.tables()):
        was, becomes = (proofs.mandatory_at(table, category, lower) for table in (before, after))
        if was is becomes:
            continue
        name = category or proofs.UNLISTED
        last = changes[-1] if changes else None
        if (
            last is not None
            and (last.model, last.category, last.gained) == (before.name, name, becomes)
            and last.upper == lower
        ):
            lower = changes.pop().lower
        changes.append(
            MandatoryChange(model=before.name, category=name, lower=lower, upper=upper, gained=becomes)
        )
    return changes


def modes(old: Side, new: Side) -> list[tuple[str, bool]]:
    """The models whose mode differs, and whether what was only recorded acts now."""
    before, after = old.tables(), new.tables()
    return [
        (name, before[name].observes)
        for name in sorted(before.keys() & after.keys())
        if before[name].observes is not after[name].observes
    ]


def lost_detectors(old: Side, new: Side) -> list[Detector]:
    """The detectors, of a file or the other, that are gone or look for something else."""
    kept = _detectors(new)
    return [detector for detector in _detectors(old) if detector not in kept]


def _detectors(side: Side) -> tuple[Detector, ...]:
    floors = () if side.floors is None else side.floors.floors.detectors
    return (*floors, *side.policy.policy.detectors)


def _intervals(
    old: Mapping[str, ModelTable], new: Mapping[str, ModelTable]
) -> Iterator[tuple[ModelTable, ModelTable, str, float, float]]:
    for name in sorted(old.keys() & new.keys()):
        before, after = old[name], new[name]
        for category in (*sorted(before.listed.keys() | after.listed.keys()), ""):
            for lower, upper in proofs.intervals(before.category(category), after.category(category)):
                yield before, after, category, lower, upper


def _action(table: ModelTable, category: str, confidence: float, state: Reason | None) -> Action:
    return settle(proofs.assessed(confidence, state), category, Intent.LIVE, table).action


def _join(changes: list[CellChange], change: CellChange) -> None:
    """Adds a change, as one with an earlier one that ends where it begins."""
    for position in range(len(changes) - 1, -1, -1):
        earlier = changes[position]
        if (earlier.model, earlier.category) != (change.model, change.category):
            break
        same = (earlier.states, earlier.old, earlier.new) == (change.states, change.old, change.new)
        if same and earlier.upper == change.lower:
            changes[position] = CellChange(
                model=change.model,
                category=change.category,
                lower=earlier.lower,
                upper=change.upper,
                states=change.states,
                old=change.old,
                new=change.new,
            )
            return
    changes.append(change)


def _flat(side: Side) -> dict[str, str]:
    leaves = dict(_leaves("", json.loads(side.policy.canonical)))
    if side.floors is not None:
        leaves |= dict(_leaves("floors", json.loads(side.floors.canonical)))
    return leaves


def _leaves(key: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(f"{key}.{name}" if key else str(name), item)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _leaves(f"{key}[{_identity(item, number)}]", item)
    elif value not in ([], {}):
        yield key, json.dumps(value, ensure_ascii=False)


def _identity(item: object, number: int) -> str:
    if isinstance(item, dict):
        for name in IDENTITIES:
            if isinstance(item.get(name), str):
                return str(item[name])
        return str(number)
    return json.dumps(item, ensure_ascii=False) if isinstance(item, str) else str(number)
