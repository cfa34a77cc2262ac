"""Mandatory categories: what never acts without a person, counted, and what slipped by, estimated."""

from dataclasses import dataclass

import numpy as np

from sidecar.ledger.labelled import Labelled
from sidecar.policy import categories
from sidecar.policy.actions import Reason
from sidecar.policy.tables import ModelTable
from training.measure import post_stratified
from training.measure.post_stratified import Estimate
from training.report.population import Population


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandatory:
    """What is known of the mandatory categories.

    Attributes:
        categories: those of the policy and its floors, whole or in part.
        decisions: how many decisions only a person could let act.
        acted: how many of those acted all the same; must be 0.
        acted_in_category: how many decisions acted whose category is wholly mandatory now; not 0 where the
            policy became stricter in the window.
        leak: the share of the decisions that acted whose true category is mandatory, where a label that names
            no category is taken to say that it was the right one.
        leaks: how many labels named one.
        leak_named: the same share among the decisions whose label names a category.
    """

    categories: tuple[str, ...]
    decisions: int
    acted: int
    acted_in_category: int
    leak: Estimate
    leaks: int
    leak_named: Estimate


def of(population: Population, table: ModelTable) -> Mandatory:
    """What is known in a population, under a policy and its floors."""
    part = population.part(lambda facet: facet.acted)
    leaked = np.array([leaks(each, table) for each in population.labelled], dtype=np.float64)
    named = np.array([bool(true_category(each)) for each in population.labelled], dtype=bool)
    sample = population.sample.with_outcomes(leaked)
    found = post_stratified.estimate(sample, part.labels, part.sizes)
    of_named = post_stratified.estimate(sample, part.labels & named, part.sizes)
    return Mandatory(
        categories=tuple(sorted(name for name in table.listed if _is_mandatory(table, name))),
        decisions=sum(count.n for count in population.counts if count.mandatory),
        acted=sum(count.n for count in population.counts if count.mandatory and count.may_act),
        acted_in_category=sum(
            count.n for count in population.counts if count.may_act and _wholly(table, count.category)
        ),
        leak=found,
        leaks=int(leaked[part.labels].sum()),
        leak_named=of_named,
    )


def true_category(each: Labelled) -> str:
    """The category that a label names, in its normal form; empty where it names none."""
    return categories.normalise(each.label.true_category or "")


def leaks(each: Labelled, table: ModelTable) -> bool:
    """Whether a label names a category in which its answer would have been a person's."""
    name = true_category(each)
    if not name:
        return False
    decision = each.decision
    floor = table.category(name).floor_at(decision.calibrated_confidence, decision.lower_bound)
    return floor is not None and floor.reason is Reason.MANDATORY_REVIEW


def _wholly(table: ModelTable, name: str) -> bool:
    floor = table.category(name).floor
    return floor is not None and floor.reason is Reason.MANDATORY_REVIEW


def _is_mandatory(table: ModelTable, name: str) -> bool:
    return _wholly(table, name) or bool(table.category(name).floored_ranges)
