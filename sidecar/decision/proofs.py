"""Proofs over a whole policy: every cell that a request can fall into, through what decides.

A cell is enumerated through `decide.settle`, and what a step of a fallback chain makes of it through
`conclusion.conclude`. What a policy may do and is worth a warning is `warnings`.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sidecar.decision import conclusion
from sidecar.decision.decide import Assessment, settle
from sidecar.decision.steps import FallbackStep
from sidecar.policy import categories, model
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, Action, AnswerSource, Intent, Reason
from sidecar.policy.fallback import StepTable
from sidecar.policy.model import Band
from sidecar.policy.tables import CategoryTable, ModelTable

UNLISTED = "(missing or not listed)"
IN_FORCE = "in force"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCell:
    """What happens to an answer of a confidence when a step answers with a confidence of its own.

    `state` is `in force`, or the Reason that stands in the way of the primary's confidence; `rule` is empty
    for the secondary, and the first rule of its action for rules, since rules of one action are alike.
    """

    model: str
    category: str
    lower: float
    state: str
    step: str
    rule: str
    step_lower: float
    before: Action
    action: Action
    may_act: bool
    mandatory: bool
    decided: bool


def problems(table: ModelTable) -> tuple[Reason, ...]:
    """What may stand in the way of the number that bands are cut on."""
    return (*PROBLEMS, Reason.NO_LOWER_BOUND) if table.on_lower_bound else PROBLEMS


def assessed(confidence: float, state: Reason | None) -> Assessment:
    """An answer of a confidence, which stands for its lower bound as well, in a state of the service."""
    if state in (None, Reason.CALIBRATOR_STALE):
        return Assessment(confidence, confidence, state, confidence)
    return Assessment(confidence, confidence if state is Reason.NO_LOWER_BOUND else None, state)


def intervals(*tables: CategoryTable) -> list[tuple[float, float]]:
    """The intervals of confidence within which each of these tables treats all alike."""
    return list(itertools.pairwise(sorted({cut for table in tables for cut in _cuts(table)})))


def mandatory_at(table: ModelTable, category: str, confidence: float) -> bool:
    """Whether review is mandatory at a calibrated confidence, through what decides."""
    return settle(assessed(confidence, None), category, Intent.LIVE, table).mandatory


def cells(table: ModelTable) -> Iterator[EnumeratedCell]:
    """Every cell of one model: categories x bands (cut further by mandatory ranges) x states."""
    for name, key, category in _categories(table):
        for lower, upper in intervals(category):
            for state in (None, *problems(table)):
                verdict = settle(assessed(lower, state), key, Intent.LIVE, table)
                yield EnumeratedCell(
                    model=table.name,
                    category=name,
                    band=category.cell_at(lower).name,
                    lower=lower,
                    upper=upper,
                    state=_state_name(state),
                    action=verdict.action,
                    may_act=verdict.may_act,
                    mandatory=verdict.mandatory,
                )


def chain_cells(table: ModelTable) -> Iterator[ChainCell]:
    """Every cell of a model's chain: categories x bands x states x steps (a rule for each action) x bands."""
    answers = list(_answers(table))
    for name, key, category in _categories(table):
        lowers = sorted(_cuts(category))
        for lower, state in itertools.product(lowers, (None, *problems(table))):
            verdict = settle(assessed(lower, state), key, Intent.LIVE, table)
            for (step, rule), step_lower in itertools.product(answers, lowers):
                taken = FallbackStep(
                    step=step.step,
                    outcome="CLEARED",
                    rule=rule,
                    calibrated_confidence=step_lower,
                    lower_bound=step_lower,
                )
                result = conclusion.conclude(verdict, (taken,), category=category, chain=table.chain)
                yield ChainCell(
                    model=table.name,
                    category=name,
                    lower=lower,
                    state=_state_name(state),
                    step=step.step,
                    rule=rule,
                    step_lower=step_lower,
                    before=verdict.action,
                    action=result.action,
                    may_act=result.may_act,
                    mandatory=verdict.mandatory,
                    decided=result.source is not AnswerSource.PRIMARY,
                )


def violations(tables: Iterable[ModelTable]) -> list[str]:
    """The broken promises of a whole policy: of every table, and of its chain. Empty is the proof of none."""
    return [
        violation for table in tables for violation in (*table_violations(table), *chain_violations(table))
    ]


def table_violations(table: ModelTable) -> list[str]:
    """The broken promises of a policy table, a sentence each; an empty list is the proof that there is none.

    Proved: the bands of every category cover [0, 1] without gap, overlap or a band that no confidence can
    reach; every mandatory cell ends with a person, and the categories that are always mandatory are; nothing
    acts or is rejected without a fresh calibrator in force, nor in an unlisted category where the policy
    lists categories.
    """
    broken = [
        f"{table.name}, category {name}: {problem}"
        for name, category in (*table.listed.items(), (UNLISTED, table.unlisted))
        for problem in _coverage(category)
    ]
    if broken:
        return broken  # there is no table to enumerate
    for name in sorted(categories.ALWAYS_MANDATORY):
        floor = table.category(name).floor
        if name not in table.listed or floor is None or floor.reason is not Reason.MANDATORY_REVIEW:
            broken.append(f"{table.name}, category {name}: always needs a person, and has no floor")
    for cell in cells(table):
        where = (
            f"{cell.model}, category {cell.category}, band {cell.band} "
            f"[{cell.lower}, {cell.upper}), {cell.state}: {cell.action}"
        )
        if cell.mandatory and (cell.may_act or cell.action not in PERSON_ACTIONS):
            broken.append(f"{where} without a person in a mandatory cell")
        if cell.state != IN_FORCE and cell.action not in PERSON_ACTIONS:
            broken.append(f"{where} without a calibrated confidence")
        if cell.category == UNLISTED and table.lists_categories and cell.action not in PERSON_ACTIONS:
            broken.append(f"{where} without a person for a category that the policy does not list")
    return broken


def chain_violations(table: ModelTable) -> list[str]:
    """The broken promises of a model's chain, a sentence each; an empty list is the proof that there is none.

    Proved: no step decides in a mandatory cell, or takes one from a person; none where the primary has no
    fresh calibrated confidence, nor where the category is not listed though others are; and none acts in a
    band that does not, or in a mandatory range of its own confidence.
    """
    broken = []
    for cell in chain_cells(table):
        category = table.unlisted if cell.category == UNLISTED else table.category(cell.category)
        rule = f" (rule {cell.rule})" if cell.rule else ""
        where = (
            f"{cell.model}, category {cell.category}, confidence {cell.lower:g}, {cell.state}, "
            f"step {cell.step}{rule} at {cell.step_lower:g}: {cell.action}"
        )
        if cell.mandatory and (cell.decided or cell.may_act or cell.action not in PERSON_ACTIONS):
            broken.append(f"{where} without a person in a mandatory cell")
        if not cell.decided:
            continue
        if cell.state != IN_FORCE:
            broken.append(f"{where} without a calibrated confidence of the primary")
        if cell.category == UNLISTED and table.lists_categories:
            broken.append(f"{where} for a category that the policy does not list")
        if category.cell_at(cell.step_lower).action not in AUTOMATIC_ACTIONS:
            broken.append(f"{where} in a band that does not act")
        floor = category.floor_at(cell.step_lower, cell.step_lower)
        if floor is not None and cell.action not in floor.permitted:
            broken.append(f"{where} against the floor {floor.floor}")
    return broken


def widened(old: Mapping[str, ModelTable], new: Mapping[str, ModelTable]) -> list[str]:
    """The cells in which review was mandatory and would not be, a sentence each; empty where there is none.

    Every model that both have, every category that either names, and every confidence: both are cut at the
    edges of both, so that a cell is mandatory as a whole or not at all.
    """
    lost = []
    for name in sorted(old.keys() & new.keys()):
        before, after = old[name], new[name]
        lost += [
            f"model {name}: an answer without context field {field} waits for a person, and would not"
            for field in before.required_context
            if field not in after.required_context
        ]
        for category in (*sorted(before.listed.keys() | after.listed.keys()), ""):
            for lower, upper in intervals(before.category(category), after.category(category)):
                if mandatory_at(before, category, lower) and not mandatory_at(after, category, lower):
                    lost.append(
                        f"model {name}, category {category or UNLISTED}, confidence {lower:g} to {upper:g}: "
                        "review is mandatory and would not be"
                    )
            ranges = before.category(category).floored_ranges
            if ranges and before.on_lower_bound and not after.on_lower_bound:
                lost.append(
                    f"model {name}, category {category or UNLISTED}: the confidence ranges of mandatory review bind "
                    "answers whose lower bound lies in them, and would not"
                )
    return lost


def warnings(name: str, entry: model.Model, table: ModelTable) -> list[str]:
    """What nothing will ever be known about, and what never takes effect, a sentence each.

    Warned of: a band that acts, or rejects, and is never drawn for audit; a budget for what is never drawn, or
    for what a person reviews anyway.

    Args:
        name: of the model.
        entry: its policy.
        table: the same, under its floors.
    """
    sentences: dict[str, None] = {}  # in order, each once
    for key, category in model.sections(entry):
        if table.category(key).floor is not None:
            continue  # a person sees all of it
        if category is not None and category.bands is None and category.audit_rate is None:
            continue  # nothing of its own
        where = f"model {name}, category {key}" if key else f"model {name}"
        for band in model.bands_of(entry, category):
            for said in _unaudited(band, model.audit_rate_of(band, category), table):
                sentences[f"{where}, band {band.name}: {said}"] = None
    return list(sentences)


def _categories(table: ModelTable) -> Iterator[tuple[str, str, CategoryTable]]:
    """For each category, and what is not listed: its name, what a request would say, and what holds."""
    for name in sorted(table.listed):
        yield name, name, table.category(name)
    yield UNLISTED, "", table.unlisted


def _state_name(state: Reason | None) -> str:
    return IN_FORCE if state is None else state.value


def _cuts(category: CategoryTable) -> set[float]:
    ranges = ((lower, upper) for lower, upper, _ in category.floored_ranges)
    return {*category.edges, *itertools.chain.from_iterable(ranges), 1.0}


def _answers(table: ModelTable) -> Iterator[tuple[StepTable, str]]:
    """The machine steps, one that has rules once for each action that these may lead to."""
    for step in table.chain:
        if step.step == "secondary":
            yield step, ""
        else:
            alike: dict[Action, str] = {}
            for rule, action in step.actions.items():
                alike.setdefault(action, rule)
            yield from ((step, rule) for rule in alike.values())


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


def _unaudited(band: Band, rate: float, table: ModelTable) -> Iterator[str]:
    if band.action in PERSON_ACTIONS and not table.observes:
        if band.audit_budget is not None:
            yield (
                f"audit_budget {band.audit_budget} never takes effect: a person reviews all of it, so nothing is drawn"
            )
        return
    if rate > 0.0:
        return
    if band.audit_budget is not None:
        yield f"audit_budget {band.audit_budget} can never fill: at audit_rate 0 nothing is drawn"
    if band.action in AUTOMATIC_ACTIONS:
        reviewed = ", but for its next-day review" if band.review == "next_day" else ""
        yield (
            f"it acts and is never audited (audit_rate 0){reviewed}: nobody will know how often it is right; "
            "give it an audit_rate"
        )
    else:
        yield (
            f"it answers {band.action} and is never audited (audit_rate 0): nobody will know what was right among "
            "that; give it an audit_rate"
        )
