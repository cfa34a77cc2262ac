"""What a rule may claim: measured on drawn labels only, judged wherever the truth is known, never invented."""

import pytest

import calibrators
from sidecar.decision.steps import FallbackStep
from sidecar.ledger.labelled import Labelled
from sidecar.policy import loading
from sidecar.policy.actions import Action
from sidecar.service.registry import expectations, fetch
from sidecar.service.registry.sources import Resolved
from tests import builders
from training import errors, rules
from training.measure import intervals

POLICY = """
version: 1
models:
  leads:
    calibrator: models:/leads@champion
    evidence: score
    fallback:
      - step: rules
        rules:
          - {name: stop, when: 'category == "x"', answer: out, action: AUTO_ROUTE,
             calibrator: models:/rule-stop@champion}
          - {name: local, when: 'category == "y"', answer: out, action: AUTO_ROUTE, calibrator: file:local.json}
"""


def labelled(
    number: int,
    *,
    said: str = "out",
    predicted: str = "in",
    true_class: str | None = None,
    correct: bool = False,
    about: str = "PRIMARY",
    propensity: float | None = 1.0,
    drawn: bool = True,
    rule: str = "stop",
) -> Labelled:
    decision = builders.decision(
        number,
        model="leads",
        predicted_class=predicted,
        action=Action.HOLD_FOR_REVIEW,
        steps=(FallbackStep(step="rules", outcome="NOT_CLEARED", rule=rule, answer_class=said),),
    )
    label = builders.label(number, true_class=true_class, correct=None if true_class is not None else correct)
    return Labelled(
        decision=decision,
        correct=correct,
        drawn=drawn,
        propensity=propensity,
        about=about,  # type: ignore[arg-type]
        label=label,
    )


def test_a_rule_is_worth_the_lower_bound_of_its_accuracy() -> None:
    given = [labelled(n, true_class="out" if n < 47 else "in") for n in range(50)]
    measured = rules.measure(given)
    assert set(measured) == {"stop"}
    worth = measured["stop"]
    assert (worth.n, worth.accuracy) == (50, pytest.approx(0.94))
    # The linearised variance has n - 1 where the binomial one has n, so n* is 49 of 50.
    assert worth.lower == pytest.approx(intervals.clopper_pearson(0.94 * 49, 49)[0])
    assert worth.lower < 0.8345181 + 1e-3
    assert worth.is_enough


@pytest.mark.parametrize(
    ("case", "right"),
    [
        ({"true_class": "out"}, True),
        ({"true_class": "in"}, False),
        ({"correct": True, "predicted": "out"}, True),  # the primary said the same, and was right
        ({"correct": True, "predicted": "in"}, False),
        ({"correct": False, "predicted": "out"}, False),
        ({"about": "RULE", "correct": True}, True),
        ({"about": "RULE", "correct": False}, False),
    ],
)
def test_a_rule_is_judged_wherever_the_truth_is_known(case: dict[str, object], right: bool) -> None:
    assert rules.measure([labelled(1, **case)])["stop"].accuracy == float(right)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "case",
    [
        {"correct": False, "predicted": "in"},  # wrong, but what would have been right?
        {"true_class": "out", "drawn": False, "propensity": None},
        {"true_class": "out", "rule": ""},
    ],
)
def test_what_does_not_tell_is_left_out(case: dict[str, object]) -> None:
    assert rules.measure([labelled(1, **case)]) == {}  # type: ignore[arg-type]


def test_labels_weigh_by_their_inclusion_probability() -> None:
    rare = labelled(1, true_class="in", propensity=0.05)
    often = [labelled(n, true_class="out") for n in range(2, 22)]
    assert rules.measure([rare, *often])["stop"].accuracy == pytest.approx(20 / 40)


def test_few_labels_claim_nothing() -> None:
    few = rules.measure([labelled(n, true_class="out") for n in range(29)])["stop"]
    assert not few.is_enough


def test_the_published_constant_is_what_the_sidecar_admits_for_that_rule_alone() -> None:
    policy = loading.parse(POLICY).policy
    worth = rules.measure([labelled(n, true_class="out") for n in range(60)])["stop"]
    document = calibrators.dumps(rules.calibrator("leads", worth, criterion="correct")).encode()
    slots = {slot.source: (slot, expected) for slot, expected in expectations(policy).items()}
    resolved = Resolved(name="rule-stop", version="1")
    slot, expected = slots["rules/stop"]
    admitted = fetch.admit(document, slot=slot, expected=expected, resolved=resolved)
    assert admitted.kind == "constant"
    assert admitted.apply_one(0.5) == worth.lower
    # A claim that is a lower bound already serves a policy that cuts its bands on lower bounds.
    assert admitted.bound_of(worth.lower) == worth.lower
    slot, expected = slots["rules/local"]
    with pytest.raises(calibrators.CalibratorRefused, match="model versions stop"):
        fetch.admit(document, slot=slot, expected=expected, resolved=resolved)


def test_only_a_rule_with_a_registered_name_can_be_published() -> None:
    entry = loading.parse(POLICY).policy.models["leads"]
    worth = rules.measure([labelled(n, true_class="out", rule="local") for n in range(60)])["local"]
    with pytest.raises(errors.RequestRefused, match="names no registered calibrator for rule local"):
        rules.publish("leads", entry, worth, by="ada")
