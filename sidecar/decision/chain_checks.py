"""Proofs over a fallback chain: every cell that a step's answer can fall into, through `conclude`."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sidecar.decision import checks, conclusion
from sidecar.decision.decide import settle
from sidecar.decision.records import FallbackStep
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, Action, AnswerSource, Intent
from sidecar.policy.fallback import StepTable
from sidecar.policy.tables import CategoryTable, ModelTable


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


def enumerate_cells(table: ModelTable, chain: Sequence[StepTable]) -> Iterator[ChainCell]:
    """Every cell of one model: categories x bands x states x steps (a rule for each action) x bands."""
    named = ((name, table.category(name)) for name in sorted(table.listed))
    for name, category in itertools.chain(named, ((checks.UNLISTED, table.unlisted),)):
        for lower, state in itertools.product(_lowers(category), (None, *checks.problems(table))):
            given = "" if name == checks.UNLISTED else name
            verdict = settle(checks.assessed(lower, state), given, Intent.LIVE, table)
            for step, rule in _answers(chain):
                for step_lower in _lowers(category):
                    taken = FallbackStep(
                        step=step.step,
                        outcome="CLEARED",
                        rule=rule,
                        calibrated_confidence=step_lower,
                        lower_bound=step_lower,
                    )
                    result = conclusion.conclude(
                        verdict, (taken,), final_class="", category=category, chain=chain
                    )
                    yield ChainCell(
                        model=table.name,
                        category=name,
                        lower=lower,
                        state="in force" if state is None else state.value,
                        step=step.step,
                        rule=rule,
                        step_lower=step_lower,
                        before=verdict.action,
                        action=result.verdict.action,
                        may_act=result.verdict.may_act,
                        mandatory=verdict.mandatory,
                        decided=result.source is not AnswerSource.PRIMARY,
                    )


def violations(table: ModelTable, chain: Sequence[StepTable]) -> list[str]:
    """The broken promises of a chain, a sentence each; an empty list is the proof that there is none.

    Proved: no step decides in a mandatory cell, or takes one from a person; none where the primary has no
    fresh calibrated confidence, nor where the category is not listed though others are; and none acts in a
    band that does not, or in a mandatory range of its own confidence.
    """
    found = []
    for cell in enumerate_cells(table, chain):
        category = table.unlisted if cell.category == checks.UNLISTED else table.category(cell.category)
        rule = f" (rule {cell.rule})" if cell.rule else ""
        where = (
            f"{cell.model}, category {cell.category}, confidence {cell.lower:g}, {cell.state}, "
            f"step {cell.step}{rule} at {cell.step_lower:g}: {cell.action}"
        )
        if cell.mandatory and (cell.decided or cell.may_act or cell.action not in PERSON_ACTIONS):
            found.append(f"{where} without a person in a mandatory cell")
        if not cell.decided:
            continue
        if cell.state != "in force":
            found.append(f"{where} without a calibrated confidence of the primary")
        if cell.category == checks.UNLISTED and table.lists_categories:
            found.append(f"{where} for a category that the policy does not list")
        if category.cell_at(cell.step_lower).action not in AUTOMATIC_ACTIONS:
            found.append(f"{where} in a band that does not act")
        own = category.floor_at(cell.step_lower, cell.step_lower)
        if own is not None and cell.action not in own.permitted:
            found.append(f"{where} against the floor {own.floor}")
    return found


def all_violations(tables: Iterable[ModelTable]) -> list[str]:
    """The broken promises of a whole policy: of every table, and of its chain."""
    return [
        violation
        for table in tables
        for violation in (*checks.violations(table), *violations(table, table.chain))
    ]


def _lowers(category: CategoryTable) -> list[float]:
    """A confidence of every interval in which all confidences are treated alike, and 1."""
    edges = {*category.edges, 1.0}
    for lower, upper, _ in category.floored_ranges:
        edges |= {lower, upper}
    return sorted(edges)


def _answers(chain: Sequence[StepTable]) -> Iterator[tuple[StepTable, str]]:
    for step in chain:
        if step.step == "secondary":
            yield step, ""
        else:
            alike: dict[Action, str] = {}
            for rule, action in step.actions.items():
                alike.setdefault(action, rule)
            yield from ((step, rule) for rule in alike.values())
