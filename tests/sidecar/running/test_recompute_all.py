"""Every decision of a mixed history, decided again from the ledger alone, to the last bit.

How many is read from the environment: `TRUEBAND_RECOMPUTE=10000` asks for more than the tests do.
"""

import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from calibrators import Beta, Constant, Evidence, Identity, LowerCurve, Platt, Temperature, VectorTemperature
from sidecar.commands import explain
from sidecar.decision import suspensions
from sidecar.decision.query import Query
from sidecar.decision.records import Decision
from sidecar.decision.suspensions import Scope, Suspension
from sidecar.journal.forwarder import Forwarder
from sidecar.journal.journal import Journal
from sidecar.ledger import queries
from sidecar.ledger.store import Ledger
from sidecar.policy import floors_file, loading
from sidecar.policy.actions import Action, AnswerSource, Intent, Reason
from sidecar.service.deciding.answers import Answer
from sidecar.service.deciding.decider import Decider, QueueHealth
from sidecar.service.deciding.router import Router
from sidecar.service.deciding.snapshot import Snapshot
from sidecar.service.in_force import policy_file
from sidecar.service.in_force.live_configuration import calibrator_records, policy_records, start_records
from sidecar.service.in_force.policy_file import PolicyInForce
from sidecar.service.registry import CalibratorInForce, CalibratorSlot
from sidecar.service.telemetry import Metrics
from tests import builders
from tests.builders import NOW
from tests.sidecar import services

DECISIONS = int(os.environ.get("TRUEBAND_RECOMPUTE", "1000"))
BATCH = 20
FORWARDING_SECONDS = 600.0

CATEGORIES = ("general", "Refunds ", "pricing", "contracts", "ranged", "never heard of", "")
POLICY = """
version: 1
models:
  scores:
    calibrator: models:/scores@champion
    versions: {v8: models:/scores/8}
    evidence: score
    bands: &bands
      - {name: auto, from: 0.90, action: AUTO_ROUTE, audit_rate: 0.3, audit_budget: 5}
      - {name: flagged, from: 0.70, action: AUTO_ROUTE_FLAGGED, review: next_day}
      - {name: hold, from: 0.50, action: HOLD_FOR_REVIEW}
      - {name: reject, from: 0.00, action: REJECT, audit_rate: 0.1}
    categories: &categories
      general: {}
      refunds: {audit_rate: 0.10}
      pricing: {mandatory_review: true}
      contracts: {}
      ranged: {mandatory_review: [{from: 0.92, to: 0.97}]}
  positives:
    calibrator: models:/positives@champion
    evidence: positive_probability
    classes: [spam, ham]
    bands: *bands
    categories: *categories
  vectors:
    calibrator: models:/vectors@champion
    evidence: probabilities
    classes: [interested, not_now, unsubscribe]
    categories: *categories
    unknown_category: ESCALATE
  logits:
    calibrator: models:/logits@champion
    evidence: logits
    classes: [interested, not_now, unsubscribe]
    categories: *categories
    stale: {after: 1h, action: ESCALATE}
  texts:
    calibrator: models:/texts@champion
    evidence: token_logprobs
    aggregation: mean
    categories: *categories
  bounded:
    calibrator: models:/bounded@champion
    evidence: score
    band_on: lower_bound
    bands: *bands
    categories: *categories
  watched:
    mode: observe
    require_context: [letter]
    calibrator: models:/watched@champion
    evidence: score
    bands: *bands
    categories: *categories
  chained:
    calibrator: models:/chained@champion
    model_version: required
    evidence: score
    categories: *categories
    fallback:
      - step: rules
        rules:
          - {name: stop_word, when: 'attributes.keyword == "stop"', answer: unsubscribe, action: AUTO_ROUTE,
             calibrator: models:/stop-word@champion}
          - {name: small, when: 'attributes.amount < 10.0', answer: not_now, action: AUTO_ROUTE,
             calibrator: models:/small@champion}
detectors:
  - {name: contract_words, category: contracts, fields: [text], pattern: 'hereby|pursuant to'}
"""
FLOORS = """
version: 1
mandatory_categories: [contracts]
models:
  scores: {mandatory_ranges: {general: [{from: 0.90, to: 0.93}]}}
detectors:
  - {name: prices, category: pricing, fields: [text], pattern: 'discount'}
"""
MODELS = {
    "scores": "score",
    "positives": "positive_probability",
    "vectors": "probabilities",
    "logits": "logits",
    "texts": "token_logprobs",
    "bounded": "score",
    "watched": "score",
    "chained": "score",
}
CURVE = LowerCurve(level=0.95, method="drawn", confidences=(0.5, 0.9, 1.0), bounds=(0.3, 0.85, 0.97))


def policies() -> tuple[PolicyInForce, ...]:
    """Two texts of one policy, each with and without the floors of another owner."""
    floors = floors_file.parse(FLOORS)
    texts = (POLICY, POLICY.replace("from: 0.90, action: AUTO_ROUTE,", "from: 0.85, action: AUTO_ROUTE,"))
    return tuple(
        policy_file.admit(loading.parse(text), given, since=NOW)
        for text, given in itertools.product(texts, (None, floors))
    )


def calibrators_in_force(confirmed_at: float, *, bounded: bool) -> dict[CalibratorSlot, CalibratorInForce]:
    """One for each kind of map; `bounded` says whether the model that is cut on a bound has one."""

    def held(mapping: object, **changes: object) -> CalibratorInForce:
        return builders.calibrator_in_force(mapping, confirmed_at=confirmed_at, **changes)  # type: ignore[arg-type]

    in_force = {
        ("scores", "", "primary"): held(
            Platt(1.5, 0.25), model="scores", category_offsets={"refunds": -0.3}, lower=CURVE
        ),
        ("scores", "v8", "primary"): held(Beta(0.8, 1.2, 0.1), model="scores", versions=("v8",)),
        ("positives", "", "primary"): held(
            Temperature(1.4), model="positives", evidence="positive_probability"
        ),
        ("vectors", "", "primary"): held(Identity(), model="vectors", evidence="probabilities"),
        ("logits", "", "primary"): held(VectorTemperature(1.7), model="logits", evidence="logits"),
        ("texts", "", "primary"): held(
            Identity(), model="texts", evidence="token_logprobs", aggregation="mean"
        ),
        ("bounded", "", "primary"): held(
            Identity(), model="bounded", **({"lower": CURVE} if bounded else {})
        ),
        ("watched", "", "primary"): held(Identity(), model="watched"),
        ("chained", "", "primary"): held(Identity(), model="chained", versions=("v7",)),
        ("chained", "", "rules/stop_word"): held(Constant(0.97), model="chained", source="rules"),
        ("chained", "", "rules/small"): held(Constant(0.6), model="chained", source="rules"),
    }
    return {CalibratorSlot(*slot): held for slot, held in in_force.items()}


class History:
    """A real router, journal, forwarder and ledger in one process, whose world changes between two batches."""

    def __init__(self, ledger: Ledger, journal: Journal, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = NOW
        self.health = QueueHealth()
        self.policies = policies()
        self.ledger, self.journal = ledger, journal
        numbers = itertools.count()
        self.router = Router(
            snapshot=lambda: self.snapshot,
            decider=Decider(
                keys=services.KEYS,
                sidecar_id="sidecar-a",
                metrics=Metrics(),
                new_id=lambda _: f"id-{next(numbers):09d}",
            ),
            journal=journal,
            queue_health=lambda: self.health,
            metrics=Metrics(),
            clock=lambda: self.now,
        )
        journal.append(start_records("sidecar-a", now=NOW), durable=True)
        self.snapshot = self.changed()

    def changed(self) -> Snapshot:
        """Another policy, other calibrators, other suspensions; all of it recorded before it decides."""
        policy = self.random.choice(self.policies)
        age = self.random.choice((0.0, 0.0, 60.0, 7200.0, 1e6))
        in_force = calibrators_in_force(self.now - age, bounded=self.random.random() < 0.7)
        for slot in self.random.sample(sorted(in_force), k=self.random.choice((0, 0, 1, 3))):
            del in_force[slot]
        records = policy_records("sidecar-a", policy)
        for slot, held in in_force.items():
            records += calibrator_records("sidecar-a", slot, held, now=self.now)
        self.journal.append(records, durable=True)
        return Snapshot(
            policy=policy,
            calibrators=in_force,
            chains=services.chains(policy.loaded.policy.models),
            suspensions=self.suspensions(),
        )

    def suspensions(self) -> tuple[Suspension, ...]:
        if self.random.random() < 0.05:
            return (suspensions.UNKNOWN,)
        scopes = (
            Scope(model="scores", band="auto"),
            Scope(model="vectors", category="general"),
            Scope(tenant="acme"),
            Scope(model="chained", source=AnswerSource.RULES),
        )
        return tuple(
            Suspension(
                suspension_id=f"s{number}",
                scope=scope,
                explanation="complaints",
                suspended_by="ada",
                suspended_at=NOW,
                sidecar_id="sidecar-a",
            )
            for number, scope in enumerate(self.random.sample(scopes, k=self.random.choice((0, 0, 1, 2))))
        )

    def evidence(self, kind: str) -> Evidence:
        drawn = self.random
        match kind:
            case "score" | "positive_probability":
                return Evidence(kind, (drawn.betavariate(2.5, 1),))  # type: ignore[arg-type]
            case "probabilities":
                parts = [drawn.expovariate(1.0) ** 3 + 1e-6 for _ in range(3)]
                return Evidence("probabilities", tuple(part / sum(parts) for part in parts))
            case "logits":
                return Evidence("logits", tuple(drawn.gauss(0, 4) for _ in range(3)))
        tokens = tuple(-drawn.expovariate(8.0) for _ in range(drawn.randint(1, 12)))
        return Evidence("token_logprobs", tokens, truncated=drawn.random() < 0.1)

    def query(self, number: int) -> Query:
        drawn = self.random
        model = drawn.choice((*MODELS, "chained", "chained", "chained"))
        kind = MODELS[model] if drawn.random() < 0.95 else drawn.choice(tuple(MODELS.values()))
        attributes = tuple(
            {"keyword": keyword, "amount": amount} for keyword in ("stop", "go") for amount in (5.0, 50.0)
        )
        return builders.query(
            model=model,
            evidence=self.evidence(kind),
            predicted_class="",
            tenant=drawn.choice(("", "", "acme")),
            model_version=drawn.choice(("", "v7", "v7", "v7", "v7", "v8")),
            request_id=f"r-{number}" if drawn.random() < 0.5 else "",
            category=drawn.choice((*CATEGORIES, "general", "general", "general", "general")),
            context={"text": drawn.choice(("hello", "hello", "we hereby agree", "a discount"))},
            attributes=drawn.choice(({}, *attributes)),
            intent=Intent.SHADOW if drawn.random() < 0.1 else Intent.LIVE,
        )

    def lived(self, decisions: int) -> Iterator[Decision]:
        """That many decisions, a batch at a time, each batch in a world of its own."""
        for start in range(0, decisions, BATCH):
            self.now += 600.0
            self.snapshot = self.changed()
            self.health = self.random.choice(
                (
                    QueueHealth(),
                    QueueHealth(),
                    QueueHealth(away=True),
                    QueueHealth(away=True, backlog_seconds=1e6),
                )
            )
            size = min(BATCH, decisions - start)
            for outcome in self.router.route_batch([self.query(start + number) for number in range(size)]):
                assert isinstance(outcome, Answer), outcome
                yield outcome.decision


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_decision_of_a_mixed_history_is_decided_again_alike(tmp_path: Path) -> None:
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger, Journal(tmp_path / "journal") as journal:
        history = History(ledger, journal, seed=7)
        ledger.migrate()
        forwarder = Forwarder(journal, ledger, sidecar_id="sidecar-a")
        forwarder.start()
        decided = list(history.lived(DECISIONS))
        assert forwarder.stop(FORWARDING_SECONDS)
        assert forwarder.status().refused_records == 0
        with ledger.reading() as at:
            stored = [queries.decision(at, decision.decision_id) for decision in decided]
            answers = [answer for decision in stored if decision is not None for answer in decision.answers]
            assert answers == decided
            began = time.perf_counter()
            keys = dict(services.KEYS.audit)
            disagreements = [
                sentence for answer in answers for sentence in explain.recomputed(answer, at, keys)
            ]
            seconds = time.perf_counter() - began
    assert disagreements == []
    reasons = Counter(reason for answer in answers for reason in answer.reasons)
    print(f"\n{len(answers)} decisions agree, recomputed in {seconds:.1f} s; {dict(reasons)}")
    assert len(answers) == DECISIONS
    assert_mixed(answers)


def assert_mixed(answers: list[Decision]) -> None:
    """That the history had all that it is to be a proof of."""
    assert {answer.query.evidence.kind for answer in answers} == set(MODELS.values())
    assert {answer.action for answer in answers} == set(Action)
    assert {answer.provenance.floors_digest != "" for answer in answers} == {True, False}
    assert {answer.provenance.calibrator is None for answer in answers} == {True, False}
    assert {answer.queue for answer in answers} == {"", "DELAYED", "UNAVAILABLE"}
    assert {answer.drawn for answer in answers} == {True, False}
    assert {answer.verdict.source for answer in answers} == {AnswerSource.PRIMARY, AnswerSource.RULES}
    assert {step.outcome for answer in answers for step in answer.steps} >= {
        "CLEARED",
        "NOT_CLEARED",
        "NO_ANSWER",
        "FAILED",
        "SKIPPED",
    }
    assert any(answer.verdict.lower_bound is not None for answer in answers)
    assert {reason for answer in answers for reason in answer.reasons} >= set(Reason) - {
        Reason.SECONDARY,
        Reason.DEADLINE,
        Reason.ANSWER_UNCALIBRATED,
        Reason.INVARIANT_GUARD,
    }
