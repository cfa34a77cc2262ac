"""100,000 random requests under random policies, floors and steps: what needs a person never acts."""

import itertools
import random
import time
from collections.abc import Iterator
from typing import Any, Literal, get_args

import msgspec
import pytest

from sidecar.decision import conclusion
from sidecar.decision.conclusion import FloorsBySource
from sidecar.decision.decide import Assessment, settle
from sidecar.decision.proofs import PROBLEMS
from sidecar.decision.steps import FallbackStep, StepOutcome
from sidecar.decision.verdict import Verdict
from sidecar.policy import fallback, model
from sidecar.policy.actions import AUTOMATIC_ACTIONS, PERSON_ACTIONS, Action, AnswerSource, Intent, Reason
from sidecar.policy.fallback import StepTable
from sidecar.policy.floors import FloorHit
from sidecar.policy.tables import CategoryTable, ModelTable, compile_policy
from sidecar.service.fallback import chain
from sidecar.service.fallback.chain import Chain
from sidecar.service.fallback.steps import Attempt, Question
from tests.sidecar.services import Concluded

POLICIES, REQUESTS = 250, 400
CATEGORIES = (
    "general",
    "general",
    "refunds",
    "refunds",
    "legal_language",
    "pricing",
    "ranged",
    "",
    "never_heard_of",
)
NAMES: tuple[Literal["rules", "secondary"], ...] = ("rules", "secondary")
BANDS = [Action.REJECT, Action.ESCALATE, Action.HOLD_FOR_REVIEW, Action.AUTO_ROUTE_FLAGGED, Action.AUTO_ROUTE]
EVERY_ACTION = tuple(Action)
OUTCOMES: tuple[StepOutcome, ...] = get_args(StepOutcome)


class Said:
    """A step that says whatever it was told to, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.attempt_to_give = Attempt(outcome="NO_ANSWER")

    def budget(self, remaining_seconds: float | None) -> float | None:
        return None if remaining_seconds is not None and remaining_seconds < 0.01 else 0.0

    def attempt(self, question: Question, budget_seconds: float) -> Attempt:  # noqa: ARG002
        self.asked += 1
        return self.attempt_to_give


def random_bands(rng: random.Random) -> list[dict[str, Any]]:
    count = rng.randint(2, 5)
    edges = [0.0, *sorted(rng.sample([number / 20 for number in range(1, 20)], count - 1))]
    strict = sorted((rng.choice(BANDS) for _ in edges), key=model.STRICTNESS.__getitem__, reverse=True)
    return [
        {"name": f"band_{position}", "from": edge, "action": action.value, "audit_rate": rng.random()}
        for position, (edge, action) in enumerate(zip(edges, strict, strict=True))
    ]


def random_table(rng: random.Random) -> ModelTable:
    low, high = sorted(rng.sample([number / 10 for number in range(11)], 2))
    categories: dict[str, Any] = {
        "general": {},
        "refunds": {"bands": random_bands(rng), "mandatory_review": rng.random() < 0.3},
        "legal_language": {"mandatory_review": True},
        "ranged": {"mandatory_review": [{"from": low, "to": high}]},
    }
    entry = {
        "mode": rng.choice(["enforce", "enforce", "observe"]),
        "calibrator": "file:c.json",
        "evidence": "score",
        "bands": random_bands(rng),
        "categories": categories if rng.random() < 0.8 else {},
        "unknown_category": rng.choice(["HOLD_FOR_REVIEW", "ESCALATE"]),
        "stale": {"action": rng.choice(["HOLD_FOR_REVIEW", "ESCALATE"])},
    }
    policy = model.Policy.model_validate({"version": 1, "models": {"m": entry}})
    return compile_policy(policy)["m"]


def random_chain(rng: random.Random, table: ModelTable) -> tuple[StepTable, ...]:
    names = [cell.name for category in (*table.listed.values(), table.unlisted) for cell in category.cells]
    steps = []
    for name in NAMES:
        if rng.random() < 0.85:
            bands = None if rng.random() < 0.5 else frozenset(rng.sample(names, min(3, len(names))))
            actions = {f"rule_{number}": rng.choice(EVERY_ACTION[:5]) for number in range(3)}
            steps.append(StepTable(name, bands, actions if name == "rules" else {}))
    return tuple(steps)


def random_confidence(rng: random.Random, category: CategoryTable) -> float:
    kind = rng.random()
    if kind < 0.2:
        return rng.choice([0.0, 1.0, *category.edges])
    if kind < 0.25:
        return rng.choice([float("nan"), float("inf"), -0.5, 2.0])
    return max(rng.random(), rng.random())


def random_attempt(rng: random.Random, category: CategoryTable) -> Attempt:
    outcome = rng.choice(["ANSWERED"] * 6 + ["NO_ANSWER", "FAILED", "SKIPPED"])
    return Attempt(
        outcome=outcome,
        code="" if outcome == "ANSWERED" else "UNAVAILABLE",
        rule=f"rule_{rng.choice((0, 0, 1, 1, 2, 2, 3))}",
        answer_class="other",
        calibrated_confidence=None if rng.random() < 0.1 else random_confidence(rng, category),
    )


def random_floors(rng: random.Random) -> tuple[FloorHit, ...]:
    return tuple(
        FloorHit(
            floor=f"floor:{number}",
            reason=rng.choice([Reason.DETECTOR, Reason.SUSPENDED]),
            permitted=tuple(sorted(PERSON_ACTIONS | set(rng.sample(EVERY_ACTION, rng.randint(0, 6))))),
        )
        for number in range(rng.choice([0, 0, 0, 0, 0, 0, 1, 2]))
    )


def random_verdict(rng: random.Random, table: ModelTable, name: str) -> Verdict:
    category = table.category(name)
    confidence: float | None = random_confidence(rng, category)
    if confidence is not None and not 0.0 <= confidence <= 1.0:
        confidence = rng.random()
    problem = rng.choice(PROBLEMS) if rng.random() < 0.1 else None
    if problem is not None and problem is not Reason.CALIBRATOR_STALE:
        confidence = None
    intent = Intent.SHADOW if rng.random() < 0.1 else Intent.LIVE
    return settle(Assessment(0.5, confidence, problem), name, intent, table)


def forged(rng: random.Random, category: CategoryTable) -> tuple[FallbackStep, ...]:
    """Steps that no chain took: what a damaged or doctored record could say."""
    return tuple(
        FallbackStep(
            step=rng.choice([*NAMES, "review", "magic"]),
            outcome=rng.choice(OUTCOMES),
            rule=f"rule_{rng.randint(0, 5)}",
            answer_class="forged",
            calibrated_confidence=random_confidence(rng, category),
        )
        for _ in range(rng.randint(0, 3))
    )


def assert_lawful(
    verdict: Verdict, given: Concluded, category: CategoryTable, floors: FloorsBySource, table: ModelTable
) -> None:
    final = given.verdict
    own = category.floor
    if verdict.mandatory or (own is not None and own.reason is Reason.MANDATORY_REVIEW):
        assert not final.may_act
        assert final.action in PERSON_ACTIONS
        assert given.source is AnswerSource.PRIMARY
    binding = (*verdict.floors, *floors.get(given.source, ()), *final.floors)
    if given.source is AnswerSource.PRIMARY:
        assert final == msgspec.structs.replace(verdict, reasons=final.reasons), "what did not clear stands"
        assert set(final.reasons) - set(verdict.reasons) <= {Reason.DEADLINE}
    else:
        assert all(final.action in floor.permitted for floor in binding)
        assert verdict.action not in AUTOMATIC_ACTIONS
        assert Reason.BAND in verdict.reasons
        cleared = next(
            step
            for step in given.steps
            if step.outcome == "CLEARED" and step.answer_class == given.final_class
        )
        assert cleared.calibrated_confidence is not None
    assert final.may_act is (
        final.action in AUTOMATIC_ACTIONS and not table.observes and Reason.SHADOW not in final.reasons
    )
    if final.may_act and given.source is not AnswerSource.PRIMARY:
        band = next(cell for cell in category.cells if cell.name == final.band)
        assert band.action in AUTOMATIC_ACTIONS


def cases() -> Iterator[tuple[random.Random, ModelTable, Chain, dict[Any, Said]]]:
    for seed in range(POLICIES):
        rng = random.Random(seed)
        table = random_table(rng)
        said = {name: Said() for name in NAMES}
        yield rng, table, Chain(random_chain(rng, table), dict(said)), said


@pytest.mark.slow
def test_what_needs_a_person_never_acts() -> None:
    tally = dict.fromkeys(("requests", "mandatory", "cleared", "acted", "floored"), 0)
    for rng, table, subject, said in cases():
        for _ in range(REQUESTS):
            name = rng.choice(CATEGORIES)
            category = table.category(name)
            verdict = random_verdict(rng, table, name)
            floors: FloorsBySource = {
                AnswerSource.RULES: random_floors(rng),
                AnswerSource.SECONDARY: random_floors(rng),
            }
            for step in said.values():
                step.attempt_to_give = random_attempt(rng, category)
            asked = sum(step.asked for step in said.values())
            question = Question(
                category=name,
                predicted_class="answer",
                raw_confidence=0.5,
                calibrated_confidence=verdict.calibrated_confidence,
                attributes={},
                context={},
                calibrators={},
                now=0.0,
            )
            steps = chain.run(
                verdict,
                question,
                subject,
                category,
                remaining_seconds=rng.choice([None, 10.0, 10.0, 10.0, 0.0]),
                clock=time.monotonic,
                floors=floors,
            )
            if verdict.mandatory:
                assert sum(step.asked for step in said.values()) == asked, "no machine is asked"
                assert {(step.outcome, step.code) for step in steps} <= {("SKIPPED", "MANDATORY_REVIEW")}
            for trace in (steps, forged(rng, category)):
                concluded = conclusion.conclude(
                    verdict, trace, category=category, chain=subject.tables, floors=floors
                )
                given = Concluded(concluded, trace, primary_class="answer")
                assert_lawful(verdict, given, category, floors, table)
                if trace is steps:
                    cleared = any(step.outcome == "CLEARED" for step in steps)
                    assert (given.source is not AnswerSource.PRIMARY) is cleared, "what cleared decides"
                    tally["cleared"] += cleared
                    tally["acted"] += cleared and given.verdict.may_act
            tally["requests"] += 1
            tally["mandatory"] += verdict.mandatory
            tally["floored"] += bool(verdict.floors)
    assert tally["requests"] == POLICIES * REQUESTS == 100_000
    # The space was really walked: the test would be empty without these.
    assert tally["mandatory"] > 20_000
    assert tally["cleared"] > 2_000
    assert tally["acted"] > 1_000
    assert tally["floored"] > 30_000


def test_the_default_chain_has_no_machine_step() -> None:
    assert fallback.compile_chain(fallback.PERSON_ONLY) == ()
    for intent, confidence in itertools.product(Intent, (0.1, 0.6, 0.95)):
        table = random_table(random.Random(1))
        verdict = settle(Assessment(confidence, confidence), "general", intent, table)
        assert conclusion.steps_of(verdict, (), table.category("general")) == ()
