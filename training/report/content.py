"""What a report says: everything that is printed, drawn or written comes from these records."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.decision.labels import RESOLUTION_VERSION
from sidecar.decision.records import Governance, InForce
from sidecar.decision.suspensions import Suspension
from sidecar.ledger.review_facts import EndingCount, Judgements, QueueCount
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action, AnswerSource, Intent
from sidecar.policy.floors_file import LoadedFloors
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.model import Band
from training.report import calibration, gathering, mandatory, population, tables, weekly
from training.report.calibration import Calibration
from training.report.gathering import Gathered
from training.report.mandatory import Mandatory
from training.report.tables import Tables
from training.report.weekly import BandWeeks
from training.report.window import Window

ALL_VERSIONS = "(all versions)"
MOST_EVENTS = 100
BY_SOURCE = {
    AnswerSource.PRIMARY: "primary",
    AnswerSource.RULES: "rules",
    AnswerSource.SECONDARY: "secondary",
}


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
        models=tuple(
            of_model(gathering.gather(ledger, loaded, floors, name, window), pool=pool) for name in models
        ),
    )


def of_model(gathered: Gathered, *, pool: bool) -> ModelReport:
    """The report on one model."""
    versions = population.versions_of(gathered)
    groups = [(ALL_VERSIONS, versions)] if pool and versions else [(each, (each,)) for each in versions]
    live = [count for count in gathered.answers if count.intent is Intent.LIVE]
    calibrators, policies = Counter[str](), Counter[str]()
    for count in live:
        policies[count.policy_digest] += count.n
        if count.calibrator_digest:
            calibrators[count.calibrator_digest] += count.n
    return ModelReport(
        model=gathered.model,
        mode=gathered.entry.mode,
        bands=gathered.entry.bands,
        versions=tuple(_of_versions(gathered, name, group) for name, group in groups),
        shadow=sum(count.n for count in gathered.answers) - sum(count.n for count in live),
        repeated=gathered.repeated,
        queue=gathered.queue,
        endings=gathered.endings,
        judgements=gathered.judgements,
        in_force=gathered.in_force,
        suspensions=gathered.suspensions,
        governance=gathered.governance[-MOST_EVENTS:],
        calibrators=dict(calibrators),
        policies=dict(policies),
    )


def _of_versions(gathered: Gathered, name: str, versions: tuple[str, ...]) -> VersionReport:
    found = population.build(gathered, versions)
    made = tables.build(gathered, found)
    return VersionReport(
        version=name,
        tables=made,
        calibration=calibration.of_all(gathered, found),
        acting=calibration.of_acting(gathered, found),
        mandatory=mandatory.of(found, gathered.table),
        weeks=weekly.of(gathered, found, made.bands),
        deciders=_deciders(found),
        left_out=found.left_out,
    )


def _deciders(found: population.Population) -> dict[str, int]:
    deciders: Counter[str] = Counter()
    for count in found.counts:
        if population.did_act(count, found.observes):
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
