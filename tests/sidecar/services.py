"""A router without a process around it: its clock is set, its journal fails when told to, its keys stay."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

from sidecar import errors
from sidecar.decision.records import Artifact, Decision, Record
from sidecar.decision.steps import FallbackStep
from sidecar.decision.verdict import Verdict
from sidecar.policy import loading
from sidecar.policy.actions import AnswerSource
from sidecar.policy.model import Model
from sidecar.service.deciding.decider import Decider, QueueHealth
from sidecar.service.deciding.keys import Keys
from sidecar.service.deciding.router import Router
from sidecar.service.deciding.snapshot import Snapshot
from sidecar.service.fallback.chain import Chain
from sidecar.service.fallback.connections import Connections
from sidecar.service.in_force import policy_file
from sidecar.service.registry import CalibratorInForce
from sidecar.service.telemetry import Metrics
from tests import builders
from tests.builders import NOW

KEYS = Keys(bytes(range(32)), (("k1", bytes(range(32, 64))), ("k2", bytes(range(64, 96)))))

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/lead-classifier-calibrator@champion
    evidence: score
    categories:
      general: {}
      refunds: {audit_rate: 0.10}
      pricing: {mandatory_review: true}
"""


@dataclasses.dataclass(frozen=True)
class Concluded:
    """What a chain came to: the verdict after it, and the steps that it took."""

    verdict: Verdict
    steps: tuple[FallbackStep, ...]
    primary_class: str = "interested"

    @property
    def source(self) -> AnswerSource:
        return self.verdict.source

    @property
    def final_class(self) -> str:
        return self.primary_class if self.source is AnswerSource.PRIMARY else self.verdict.final_class


def is_provenance(record: Record) -> bool:
    """Whether it is what decisions refer to, which a journal has once for many."""
    return isinstance(record, Artifact) and record.kind == "provenance"


class FakeJournal:
    """Keeps records in memory, provenances apart; raises `failure` where one is set."""

    def __init__(self) -> None:
        self.batches: list[tuple[tuple[Record, ...], bool]] = []
        self.provenances: list[Record] = []
        self.failure: Exception | None = None

    def append(self, records: Sequence[Record], *, durable: bool) -> None:
        if self.failure is not None:
            raise self.failure
        self.provenances += [record for record in records if is_provenance(record)]
        self.batches.append((tuple(record for record in records if not is_provenance(record)), durable))

    @property
    def records(self) -> list[Record]:
        return [record for batch, _ in self.batches for record in batch]

    @property
    def decisions(self) -> list[Decision]:
        return [record for record in self.records if isinstance(record, Decision)]

    def break_down(self) -> None:
        self.failure = errors.JournalUnavailable("the disk is full")


@dataclasses.dataclass
class Service:
    """A router and all that it was given, to be changed between calls."""

    router: Router
    journal: FakeJournal
    metrics: Metrics
    snapshot: Snapshot
    health: QueueHealth = dataclasses.field(default_factory=QueueHealth)
    now: float = NOW
    keys: Keys = KEYS

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def chains(models: Mapping[str, Model]) -> Mapping[str, Chain]:
    connections = Connections(clock=time.monotonic)
    connections.put_in_force(connections.prepare(models))
    return connections.chains()


def bare(
    policy: str = POLICY,
    calibrators: Mapping[tuple[str, str], CalibratorInForce] | None = None,
    identifier: Callable[[int], str] = "id-{:09d}".format,
) -> Service:
    """A router over a fake journal, with its policy (a text) and its calibrators by (model, version).

    `identifier` makes the id with a number.
    """
    loaded = loading.parse(policy)
    held = {("lead-classifier", ""): builders.calibrator_in_force()} if calibrators is None else calibrators
    snapshot = Snapshot(
        policy=policy_file.admit(loaded, since=NOW),
        calibrators={(model, version, "primary"): each for (model, version), each in held.items()},
        chains=chains(loaded.policy.models),
    )
    kept, metrics = FakeJournal(), Metrics()
    numbers = iter(range(10**9))
    router = Router(
        snapshot=lambda: made.snapshot,
        decider=Decider(
            keys=KEYS,
            sidecar_id="sidecar-a",
            metrics=metrics,
            new_id=lambda _: identifier(next(numbers)),
        ),
        journal=kept,
        queue_health=lambda: made.health,
        metrics=metrics,
        clock=lambda: made.now,
    )
    made = Service(router, kept, metrics, snapshot)
    return made
