"""What a report says: everything that is printed, drawn or written comes from these records."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.decision.labels import RESOLUTION_VERSION
from sidecar.decision.records import Governance, InForce
from sidecar.decision.suspensions import Suspension
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.review_facts import EndingCount, Judgements, QueueCount
from sidecar.ledger.store import Ledger
from sidecar.policy import categories
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action, AnswerSource, Intent, Reason
from sidecar.policy.floors_file import LoadedFloors
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.model import Band
from sidecar.policy.tables import ModelTable
from training.measure import evaluation, post_stratified, reliability
from training.measure.evaluation import Evaluation
from training.measure.intervals import FloatArray
from training.measure.post_stratified import Estimate
from training.measure.reliability import ReliabilityCurve
from training.report import population as populations
from training.report import rows, weeks
from training.report.population import Population, did_act, in_window, sample_of
from training.report.rows import Tables
from training.report.weeks import BandWeeks
from training.report.window import Window, WindowFacts, gather

ALL_VERSIONS = "(all versions)"
MOST_EVENTS = 100
BY_SOURCE = {
    AnswerSource.PRIMARY: "primary",
    AnswerSource.RULES: "rules",
    AnswerSource.SECONDARY: "secondary",
}
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """The confidence in the primary model's answers, measured.

    Attributes:
        evaluation: the measures, weighted; None where no label tells of a confidence.
        curve: what a reliability diagram shows; None likewise.
        covered: the share of the decisions whose strata have such labels; the rest is not in the measures.
    """

    evaluation: Evaluation | None
    curve: ReliabilityCurve | None
    covered: float


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionReport:
    """What is said of one version of a model, or of all where they are pooled.

    Attributes:
        version: the version, empty where requests name none; `(all versions)` where they are pooled.
        tables: the rows.
        calibration: of all decisions. `acting`: of those that acted on the primary's answer.
        mandatory: the mandatory categories.
        weeks: each band's accuracy by week.
        deciders: how many live decisions each of `primary`, `rules`, `secondary` let act, how many went to a
            `person`, were `rejected`, found `nobody`, or were `not enforced`.
        left_out: how many labels enter no estimate, by reason.
    """

    version: str
    tables: Tables
    calibration: Calibration
    acting: Calibration
    mandatory: Mandatory
    weeks: tuple[BandWeeks, ...]
    deciders: dict[str, int]
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """What is said of one model.

    Attributes:
        model: its name.
        mode: `enforce` or `observe`; under the latter nothing acts, and the report is about what would have.
        bands: of the policy, from the highest edge down.
        versions: one for each version that decided something in the window.
        shadow: how many requests only asked what would happen; they are in no other number.
        repeated: how many answers repeat a decision on another sidecar; each counts as an answer.
        queue: what waits for people.
        endings: how held decisions ended.
        judgements: what reviewers said.
        in_force: the calibrators in force in the window.
        suspensions: in force at its end.
        governance: who changed what decides, at most the latest 100.
        calibrators: how many answers each calibrator's confidence led to, by digest.
        policies: how many answers were given under each policy, by digest.
    """

    model: str
    mode: str
    bands: tuple[Band, ...]
    versions: tuple[VersionReport, ...]
    shadow: int
    repeated: int
    queue: tuple[QueueCount, ...]
    endings: tuple[EndingCount, ...]
    judgements: Judgements
    in_force: tuple[InForce, ...]
    suspensions: tuple[Suspension, ...]
    governance: tuple[Governance, ...]
    calibrators: dict[str, int]
    policies: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report.

    Attributes:
        made_at: when, in seconds since the epoch.
        window: which decisions, known as of when.
        policy_digest: of the policy whose promises it judges.
        floors_digest: of the floors beside it; empty where there are none.
        resolution_version: of the function that makes one truth of several labels.
        pooled: whether the versions of a model are taken together.
        models: in the order of the policy.
    """

    made_at: float
    window: Window
    policy_digest: str
    floors_digest: str
    resolution_version: int
    pooled: bool
    models: tuple[ModelReport, ...]


def build(
    ledger: Ledger,
    loaded: LoadedPolicy,
    floors: LoadedFloors | None,
    *,
    models: Sequence[str],
    window: Window,
    pool: bool,
    now: float,
) -> Report:
    """The report on these models of a policy.

    Args:
        ledger: a snapshot.
        loaded: the policy whose promises are judged.
        floors: the floors beside it.
        models: keys of its models.
        window: which decisions.
        pool: take the versions of a model together. They are different models: what one has shown says
            nothing about another, so this is for those who know that theirs are alike.
        now: seconds since the epoch.
    """
    return Report(
        made_at=now,
        window=window,
        policy_digest=loaded.digest,
        floors_digest="" if floors is None else floors.digest,
        resolution_version=RESOLUTION_VERSION,
        pooled=pool,
        models=tuple(of_model(gather(ledger, loaded, floors, name, window), pool=pool) for name in models),
    )


def of_model(facts: WindowFacts, *, pool: bool) -> ModelReport:
    """The report on one model."""
    versions = populations.versions_of(facts)
    groups = [(ALL_VERSIONS, versions)] if pool and versions else [(each, (each,)) for each in versions]
    live = [count for count in facts.answers if count.intent is Intent.LIVE]
    calibrators, policies = Counter[str](), Counter[str]()
    for count in live:
        policies[count.policy_digest] += count.n
        if count.calibrator_digest:
            calibrators[count.calibrator_digest] += count.n
    return ModelReport(
        model=facts.model,
        mode=facts.entry.mode,
        bands=facts.entry.bands,
        versions=tuple(_of_versions(facts, name, group) for name, group in groups),
        shadow=sum(count.n for count in facts.answers) - sum(count.n for count in live),
        repeated=facts.repeated,
        queue=facts.queue,
        endings=facts.endings,
        judgements=facts.judgements,
        in_force=facts.in_force,
        suspensions=facts.suspensions,
        governance=facts.governance[-MOST_EVENTS:],
        calibrators=dict(calibrators),
        policies=dict(policies),
    )


def _of_versions(facts: WindowFacts, name: str, versions: tuple[str, ...]) -> VersionReport:
    population = populations.build(facts, versions)
    tables = rows.build(facts, population)
    return VersionReport(
        version=name,
        tables=tables,
        calibration=_calibration(facts, population, acting=False),
        acting=_calibration(facts, population, acting=True),
        mandatory=_mandatory(population, facts.table),
        weeks=weeks.of(facts, population, tables.bands),
        deciders=_deciders(population),
        left_out=population.left_out,
    )


def _deciders(population: Population) -> dict[str, int]:
    deciders: Counter[str] = Counter()
    for count in population.counts:
        if did_act(count, population.observes):
            deciders[BY_SOURCE[count.source]] += count.n
        elif count.action in (Action.HOLD_FOR_REVIEW, Action.ESCALATE):
            deciders["person"] += count.n
        elif count.action is Action.REJECT:
            deciders["rejected"] += count.n
        elif count.action in AUTOMATIC_ACTIONS:
            deciders["not enforced"] += count.n
        else:
            deciders["nobody"] += count.n
    return dict(deciders)


def _calibration(facts: WindowFacts, population: Population, *, acting: bool) -> Calibration:
    """Over all decisions, held ones too, from labels about the primary model's answer, whoever decided.

    Where `acting`: over the decisions that acted on the primary model's answer.
    """
    versions = {key.model_version for key in population.keys}
    told = [
        each
        for each in facts.labelled
        if each.about == "PRIMARY"
        and each.propensity is not None
        and each.drawn
        and each.decision.verdict.calibrated_confidence is not None
        and each.decision.query.intent is Intent.LIVE
        and each.decision.query.model_version in versions
        and in_window(each.decision, facts)
        and (not acting or _acts(each, population))
    ]
    wanted = np.array(
        [not acting or (key.acted and key.source is AnswerSource.PRIMARY) for key in population.keys],
        dtype=bool,
    )
    sizes = population.sample.sizes
    total = float(sizes[wanted].sum())
    if not told or not total:
        return Calibration(evaluation=None, curve=None, covered=0.0)
    sample = sample_of(told, population.keys, sizes, observes=population.observes)
    confidence: FloatArray = np.array(
        [each.decision.verdict.calibrated_confidence for each in told], dtype=np.float64
    )
    labelled = np.bincount(sample.stratum, minlength=sizes.size) > 0
    return Calibration(
        evaluation=evaluation.evaluate(
            confidence, sample.correct, sample.weights, groups=sample.groups, seed=SEED, use_netcal=False
        ),
        curve=reliability.reliability(confidence, sample.correct, sample.weights),
        covered=float(sizes[wanted & labelled].sum()) / total,
    )


def _acts(each: Labelled, population: Population) -> bool:
    return each.decision.verdict.source is AnswerSource.PRIMARY and did_act(
        each.decision, population.observes
    )


def _mandatory(population: Population, table: ModelTable) -> Mandatory:
    """What is known of the mandatory categories in a population, under a policy and its floors."""
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
    floor = table.category(name).floor_at(
        decision.verdict.calibrated_confidence, decision.verdict.lower_bound
    )
    return floor is not None and floor.reason is Reason.MANDATORY_REVIEW


def _wholly(table: ModelTable, name: str) -> bool:
    floor = table.category(name).floor
    return floor is not None and floor.reason is Reason.MANDATORY_REVIEW


def _is_mandatory(table: ModelTable, name: str) -> bool:
    return _wholly(table, name) or bool(table.category(name).floored_ranges)
