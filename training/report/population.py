"""The decisions of a report as strata of known size, and the labels, drawn or not, that tell of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sidecar.decision.records import Decision
from sidecar.ledger.facts import AnswerCount, Stratum
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.review_facts import PlannedReview
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action, AnswerSource, Intent, TaskKind
from training.measure.intervals import FloatArray, IntArray
from training.measure.post_stratified import BoolArray, Missing, Sample
from training.report.window import WindowFacts

SUBJECTS = {AnswerSource.PRIMARY: "PRIMARY", AnswerSource.SECONDARY: "SECONDARY", AnswerSource.RULES: "RULE"}


class StratumKey(NamedTuple):
    """What the decisions of a stratum have in common: that of an audit, and whether they acted."""

    model_version: str
    source: AnswerSource
    band: str
    action: Action
    audit_rate: float
    acted: bool


class Facet(NamedTuple):
    """What domains are made of."""

    band: str
    action: Action
    source: AnswerSource
    category: str
    acted: bool


Domain = Callable[[Facet], bool]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Domained:
    """A domain's part of a population: which labels and missing reviews are of it, and its counts.

    Attributes:
        labels: (n,) of the sample. `missing`: (m,) of the missing ones.
        sizes: (h,) its exact number of decisions in each stratum.
        counts: what it consists of.
        undrawn: its labels that were not drawn with a known probability.
    """

    labels: BoolArray
    missing: BoolArray
    sizes: FloatArray
    counts: tuple[AnswerCount, ...]
    undrawn: tuple[Labelled, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Population:
    """The live decisions of one version of a model, or of all where versions are pooled.

    Attributes:
        keys: (h,) the strata.
        sample: the labels that were drawn, about the answer that decided; in the order of `labelled`.
        labelled: (n,) where they come from.
        missing: the reviews that were planned and tell nothing; in the order of `silent`.
        silent: (m,) those reviews.
        undrawn: labels about the answer that decided without a known probability. They enter no estimate.
        counts: the exact counts of answers.
        reviews: every review that was planned.
        observes: whether the policy lets nothing act: then "acted" means what would have acted.
        left_out: how many labels enter no estimate, by reason.
    """

    keys: tuple[StratumKey, ...]
    sample: Sample
    labelled: tuple[Labelled, ...]
    missing: Missing
    silent: tuple[PlannedReview, ...]
    undrawn: tuple[Labelled, ...]
    counts: tuple[AnswerCount, ...]
    reviews: tuple[PlannedReview, ...]
    observes: bool
    left_out: dict[str, int]

    def part(self, domain: Domain) -> Domained:
        """The part of it that is of a domain."""
        counted = [domain(facet_of(count, self.observes)) for count in self.counts]
        index = {key: position for position, key in enumerate(self.keys)}
        sizes = np.zeros(len(self.keys))
        for count, inside in zip(self.counts, counted, strict=True):
            if inside:
                sizes[index[key_of(count, self.observes)]] += count.n
        return Domained(
            labels=_mask(domain(facet_of(each.decision, self.observes)) for each in self.labelled),
            missing=_mask(domain(facet_of(each, self.observes)) for each in self.silent),
            sizes=sizes,
            counts=tuple(count for count, inside in zip(self.counts, counted, strict=True) if inside),
            undrawn=tuple(each for each in self.undrawn if domain(facet_of(each.decision, self.observes))),
        )


def versions_of(facts: WindowFacts) -> tuple[str, ...]:
    """The versions of the model that made decisions in the window."""
    return tuple(sorted({count.model_version for count in facts.answers if count.intent is Intent.LIVE}))


def build(facts: WindowFacts, versions: Sequence[str]) -> Population:
    """The population of these versions of the model."""
    observes = facts.entry.mode == "observe"
    sizes = sizes_of((each for each in facts.strata if each.model_version in versions), observes=observes)
    counts = tuple(
        each for each in facts.answers if each.model_version in versions and each.intent is Intent.LIVE
    )
    keys = tuple(sizes)
    left_out: Counter[str] = Counter()
    drawn, undrawn = [], []
    for each in facts.labelled:
        reason = _unusable(each, facts, versions)
        if reason:
            left_out[reason] += 1
        elif each.propensity is None or not each.drawn:
            undrawn.append(each)
            left_out["not drawn with a known probability"] += 1
        else:
            drawn.append(each)
    reviews = tuple(
        each for each in facts.reviews if each.model_version in versions and each.intent is Intent.LIVE
    )
    settled = {each.decision.decision_id for each in drawn}
    silent, propensities = _silent(facts, reviews, settled)
    return Population(
        keys=keys,
        sample=sample_of(drawn, keys, np.array(list(sizes.values())), observes=observes),
        labelled=tuple(drawn),
        missing=Missing(
            stratum=_positions(keys, (key_of(each, observes) for each in silent)),
            propensity=np.array(propensities, dtype=np.float64),
        ),
        silent=silent,
        undrawn=tuple(undrawn),
        counts=counts,
        reviews=reviews,
        observes=observes,
        left_out=dict(left_out),
    )


def sizes_of(strata: Iterable[Stratum], *, observes: bool) -> dict[StratumKey, float]:
    """The exact number of live decisions in each stratum, those that acted apart from the others."""
    sizes: dict[StratumKey, float] = {}
    for each in strata:
        if each.intent is not Intent.LIVE:
            continue
        acted = each.n if observes and each.action in AUTOMATIC_ACTIONS else each.n_acted
        for did, n in ((True, acted), (False, each.n - acted)):
            if n:
                key = StratumKey(
                    each.model_version, each.source, each.band, each.action, each.audit_rate, did
                )
                sizes[key] = sizes.get(key, 0.0) + n
    return sizes


def sample_of(
    labelled: Sequence[Labelled], keys: Sequence[StratumKey], sizes: FloatArray, *, observes: bool
) -> Sample:
    """The sample that labels with a known propensity are."""
    groups = np.array([each.decision.query.group_key or each.decision.decision_id for each in labelled])
    return Sample(
        stratum=_positions(keys, (key_of(each.decision, observes) for each in labelled)),
        correct=np.array([float(each.correct) for each in labelled], dtype=np.float64),
        propensity=np.array([each.propensity for each in labelled], dtype=np.float64),
        sizes=sizes,
        groups=groups if any(each.decision.query.group_key for each in labelled) else None,
    )


def key_of(each: Decision | AnswerCount | PlannedReview, observes: bool) -> StratumKey:
    """The stratum of an answer."""
    said, asked = (each.verdict, each.query) if isinstance(each, Decision) else (each, each)
    return StratumKey(
        asked.model_version, said.source, said.band, each.action, said.audit_rate, did_act(each, observes)
    )


def facet_of(each: Decision | AnswerCount | PlannedReview, observes: bool) -> Facet:
    """What domains see of an answer."""
    said, asked = (each.verdict, each.query) if isinstance(each, Decision) else (each, each)
    return Facet(said.band, each.action, said.source, asked.category, did_act(each, observes))


def did_act(each: Decision | AnswerCount | PlannedReview, observes: bool) -> bool:
    """Whether an answer acted; under a policy that observes, whether it would have."""
    return each.may_act or (observes and each.action in AUTOMATIC_ACTIONS)


def in_window(decision: Decision, facts: WindowFacts) -> bool:
    """Whether the answer itself was given in the window; its decision may have an earlier one."""
    window = facts.window
    return (window.since is None or decision.decided_at >= window.since) and decision.decided_at < window.end


def _unusable(each: Labelled, facts: WindowFacts, versions: Sequence[str]) -> str:
    decision = each.decision
    if decision.query.model_version not in versions:
        return "of another version of the model"
    if decision.query.intent is not Intent.LIVE:
        return "of a shadow request"
    if not in_window(decision, facts):
        return "about an answer outside of the window"
    if each.about != SUBJECTS[decision.verdict.source]:
        return "about another answer than the one that decided"
    return ""


def _silent(
    facts: WindowFacts, reviews: Sequence[PlannedReview], settled: set[str]
) -> tuple[tuple[PlannedReview, ...], list[float]]:
    """The planned reviews of which no label tells, each decision once, with the probability of its plan."""
    found: dict[str, tuple[PlannedReview, float]] = {}
    for each in reviews:
        if each.decision_id in settled:
            continue
        propensity: float | None = None
        if each.kind is TaskKind.AUDIT:
            known = facts.unlabelled.get(each.decision_id)
            propensity = each.audit_rate or None
            if known is not None:
                propensity = known.propensities.get(each.answer_id, propensity)
        elif each.certain:
            propensity = 1.0
        if propensity is not None and propensity >= found.get(each.decision_id, (each, 0.0))[1]:
            found[each.decision_id] = (each, propensity)
    return tuple(each for each, _ in found.values()), [propensity for _, propensity in found.values()]


def _positions(keys: Sequence[StratumKey], wanted: Iterable[StratumKey]) -> IntArray:
    index = {key: position for position, key in enumerate(keys)}
    # A key without decisions gets a place behind the last, which the sample refuses.
    return np.array([index.get(key, len(keys)) for key in wanted], dtype=np.int64)


def _mask(values: Iterable[bool]) -> BoolArray:
    return np.fromiter(values, dtype=bool)
