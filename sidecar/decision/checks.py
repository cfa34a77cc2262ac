"""Proofs over a whole policy: every cell that a request can fall into, enumerated through `decide` itself."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sidecar.decision.decide import Assessment, settle
from sidecar.policy import categories
from sidecar.policy.actions import PERSON_ACTIONS, Action, Intent, Reason
from sidecar.policy.tables import CategoryTable, ModelTable

UNLISTED = "(missing or not listed)"
PROBLEMS = (
    Reason.CALIBRATOR_STALE,
    Reason.NO_CALIBRATOR,
    Reason.MODEL_VERSION_UNCALIBRATED,
    Reason.EVIDENCE_MISMATCH,
    Reason.ANSWER_UNCALIBRATED,
    Reason.TRUNCATED_GENERATION,
)
"""What may stand in the way of a confidence; NO_LOWER_BOUND too where bands are cut on that, see `problems`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumeratedCell:
    """One cell of the table: what happens to a confidence of a category in a state of the service.

    `lower` and `upper` are of the number that bands are cut on.
    """

    model: str
    category: str
    band: str
    lower: float
    upper: float
    state: str  # `in force`, or the Reason that stands in the way
    action: Action
    may_act: bool
    mandatory: bool


def problems(table: ModelTable) -> tuple[Reason, ...]:
    """What may stand in the way of the number that bands are cut on."""
    return (*PROBLEMS, Reason.NO_LOWER_BOUND) if table.on_lower_bound else PROBLEMS


def assessed(confidence: float, state: Reason | None) -> Assessment:
    """An answer of a confidence, which stands for its lower bound as well, in a state of the service."""
    if state in (None, Reason.CALIBRATOR_STALE):
        return Assessment(confidence, confidence, state, confidence)
    return Assessment(confidence, confidence if state is Reason.NO_LOWER_BOUND else None, state)


def enumerate_cells(table: ModelTable) -> Iterator[EnumeratedCell]:
    """Every cell of one model: categories x bands (cut further by mandatory ranges) x states."""
    named = ((name, table.category(name)) for name in sorted(table.listed))
    for name, category in itertools.chain(named, ((UNLISTED, table.unlisted),)):
        for lower, upper in intervals(category):
            for state in (None, *problems(table)):
                verdict = settle(assessed(lower, state), "" if name == UNLISTED else name, Intent.LIVE, table)
                yield EnumeratedCell(
                    model=table.name,
                    category=name,
                    band=category.cell_at(lower).name,
                    lower=lower,
                    upper=upper,
                    state="in force" if state is None else state.value,
                    action=verdict.action,
                    may_act=verdict.may_act,
                    mandatory=verdict.mandatory,
                )


def violations(table: ModelTable) -> list[str]:
    """The broken promises of a policy table, a sentence each; an empty list is the proof that there is none.

    Proved: the bands of every category cover [0, 1] without gap, overlap or a band that no confidence can
    reach; every mandatory cell ends with a person, and the categories that are always mandatory are; nothing
    acts or is rejected without a fresh calibrator in force, nor in an unlisted category where the policy
    lists categories.
    """
    found = []
    for name, category in (*table.listed.items(), (UNLISTED, table.unlisted)):
        found += [f"{table.name}, category {name}: {problem}" for problem in _coverage(category)]
    if found:
        return found  # there is no table to enumerate
    for name in sorted(categories.ALWAYS_MANDATORY):
        floor = table.category(name).floor
        if name not in table.listed or floor is None or floor.reason is not Reason.MANDATORY_REVIEW:
            found.append(f"{table.name}, category {name}: always needs a person, and has no floor")
    for cell in enumerate_cells(table):
        where = (
            f"{cell.model}, category {cell.category}, band {cell.band} "
            f"[{cell.lower}, {cell.upper}), {cell.state}: {cell.action}"
        )
        if cell.mandatory and (cell.may_act or cell.action not in PERSON_ACTIONS):
            found.append(f"{where} without a person in a mandatory cell")
        if cell.state != "in force" and cell.action not in PERSON_ACTIONS:
            found.append(f"{where} without a calibrated confidence")
        if cell.category == UNLISTED and table.lists_categories and cell.action not in PERSON_ACTIONS:
            found.append(f"{where} without a person for a category that the policy does not list")
    return found


def widened(old: Mapping[str, ModelTable], new: Mapping[str, ModelTable]) -> list[str]:
    """The cells in which review was mandatory and would not be, a sentence each; empty where there is none.

    Every model that both have, every category that either names, and every confidence: both are cut at the
    edges of both, so that a cell is mandatory as a whole or not at all.
    """
    found = []
    for name in sorted(old.keys() & new.keys()):
        before, after = old[name], new[name]
        for category in (*sorted(before.listed.keys() | after.listed.keys()), ""):
            for lower, upper in intervals(before.category(category), after.category(category)):
                if mandatory_at(before, category, lower) and not mandatory_at(after, category, lower):
                    found.append(
                        f"model {name}, category {category or UNLISTED}, confidence {lower:g} to {upper:g}: "
                        "review is mandatory and would not be"
                    )
            ranges = before.category(category).floored_ranges
            if ranges and before.on_lower_bound and not after.on_lower_bound:
                found.append(
                    f"model {name}, category {category or UNLISTED}: the confidence ranges of mandatory review bind "
                    "answers whose lower bound lies in them, and would not"
                )
    return found


def intervals(*tables: CategoryTable) -> list[tuple[float, float]]:
    """The intervals of confidence within which each of these tables treats all alike."""
    return list(itertools.pairwise(sorted({cut for table in tables for cut in _cuts(table)})))


def mandatory_at(table: ModelTable, category: str, confidence: float) -> bool:
    """Whether review is mandatory at a calibrated confidence, through what decides."""
    return settle(assessed(confidence, None), category, Intent.LIVE, table).mandatory


def _cuts(category: CategoryTable) -> list[float]:
    edges = {*category.edges, 1.0}
    for lower, upper, _ in category.floored_ranges:
        edges |= {lower, upper}
    return sorted(edges)


def _coverage(category: CategoryTable) -> Iterator[str]:
    edges = category.edges
    if len(edges) != len(category.cells):
        yield f"{len(edges)} edges do not fit {len(category.cells)} bands"
        return
    if not edges or edges[0] != 0.0:
        yield "confidences from 0 have no band"
    for lower, upper in itertools.pairwise((*edges, math.nextafter(1.0, 2.0))):
        if not lower < upper:
            yield f"the band from {lower:g} is dead"
        elif (
            category.cell_at(lower).lower != lower
            or category.cell_at(math.nextafter(upper, 0.0)).lower != lower
        ):
            yield f"the band from {lower:g} does not hold on all of [{lower:g}, {upper:g})"
