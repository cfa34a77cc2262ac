from typing import Any

import numpy as np
import pytest

from sidecar.policy import model as policy_model
from sidecar.policy import tables
from tests.statistics import gate as study
from tests.statistics.check import Effort
from tests.statistics.gate import world
from training import errors
from training.measure import diagram, intervals
from training.retraining import gate, placement, promises

BANDS = diagram.DEFAULT_SPANS
ENTRY = policy_model.Model.model_validate({"calibrator": "models:/any@champion", "evidence": "score"})
TABLE = tables.compile_policy(policy_model.Policy(version=1, models={"m": ENTRY}))["m"]


def judge(
    champion: np.ndarray | None, challenger: np.ndarray, correct: np.ndarray, *rest: Any, **changes: Any
) -> gate.GateVerdict:
    """The gate under a policy with the default bands."""
    before = None if champion is None else placement.place(TABLE, champion)
    return gate.judge(
        champion,
        challenger,
        correct,
        *rest,
        promised=promises.of_model(ENTRY),
        before=before,
        after=placement.place(TABLE, challenger),
        **changes,
    )


def codes(verdict: gate.GateVerdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def test_accepts_a_real_improvement() -> None:
    truth, champion, correct, weights, _ = world(1000, seed=0, error=1.0)
    verdict = judge(champion, truth, correct, weights)
    assert verdict.accept
    assert codes(verdict) == ["IMPROVED"]
    assert verdict.outcome == "accepted"
    improvement = verdict.statistics["improvement"]
    assert 0.0 < verdict.statistics["improvement_bound"] < improvement
    assert improvement == pytest.approx(
        verdict.statistics["champion_log_loss"] - verdict.statistics["challenger_log_loss"]
    )
    assert "1000 labels" in verdict.reasons[0].text


def test_noise_is_kept_out_and_a_real_improvement_is_seen() -> None:
    checks = study.run(Effort.QUICK)
    assert len(checks) == 6
    assert [f"{check.claim}: {check.measured}" for check in checks if not check.holds] == []


def test_the_study_finds_out_a_gate_that_counts_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gate.judge
    monkeypatch.setattr(gate, "judge", lambda *given: right(*given[:4]))
    (broken,) = [check.claim for check in study.run(Effort.QUICK) if not check.holds]
    assert "copies that are known for groups" in broken


def test_a_worse_and_an_equal_challenger_are_kept_out() -> None:
    truth, champion, correct, weights, _ = world(1000, seed=1, error=1.0)
    worse = judge(truth, champion, correct, weights)
    assert not worse.accept
    assert worse.statistics["improvement"] < 0.0
    equal = judge(truth, truth, correct, weights)
    assert not equal.accept
    assert codes(equal) == ["NOT_IMPROVED"]
    assert equal.statistics["improvement"] == 0.0


def test_a_first_calibrator_need_not_be_better_than_a_raw_confidence_that_is_right() -> None:
    truth, wrong, correct, weights, _ = world(1000, seed=1, error=1.0)
    first = gate.judge(None, truth, correct, weights, raw_confidence=truth)
    assert first.accept
    assert codes(first) == ["FIRST_CALIBRATOR"]
    better = gate.judge(None, truth, correct, weights, raw_confidence=wrong)
    assert codes(better) == ["IMPROVED"]
    worse = gate.judge(None, wrong, correct, weights, raw_confidence=truth)
    assert not worse.accept
    assert codes(worse) == ["NOT_IMPROVED"]
    few = gate.judge(None, truth[:20], correct[:20], weights[:20], raw_confidence=truth[:20])
    assert codes(few) == ["TOO_FEW_LABELS"]


@pytest.mark.parametrize(
    ("rows", "groups"),
    [
        (slice(0, 0), None),
        (slice(0, 29), None),
        (slice(0, 1000), np.arange(1000) % 20),
    ],
)
def test_too_few_labels_are_no_evidence(rows: slice, groups: np.ndarray | None) -> None:
    truth, champion, correct, weights, _ = world(1000, seed=2, error=3.0)
    parts = (champion[rows], truth[rows], correct[rows], weights[rows])
    verdict = judge(*parts, None if groups is None else groups[rows])
    assert not verdict.accept
    assert codes(verdict)[0] == "TOO_FEW_LABELS"
    assert verdict.reasons[0].blocking
    assert all(np.isfinite(value) for value in verdict.statistics.values())


def test_too_few_errors_are_no_evidence() -> None:
    correct = np.r_[np.zeros(4), np.ones(996)]
    verdict = judge(np.full(1000, 0.7), np.full(1000, 0.99), correct)
    assert codes(verdict)[0] == "TOO_FEW_LABELS"
    assert "4 incorrect" in verdict.reasons[0].text
    assert gate.judge(np.full(1000, 0.7), np.full(1000, 0.99), np.r_[0.0, correct[:-1]]).accept


def test_a_better_log_loss_does_not_excuse_a_broken_promise() -> None:
    # The champion keeps everything below the automatic bands; the challenger is far better on the whole,
    # but lifts a group that is right 80 % of the time over 0.90.
    rng = np.random.default_rng(3)
    part = np.arange(2000) < 400
    correct = (rng.random(2000) < np.where(part, 0.80, 0.30)).astype(float)
    champion = np.where(part, 0.55, 0.60)
    challenger = np.where(part, 0.91, 0.30)
    verdict = judge(champion, challenger, correct)
    assert codes(verdict)[:2] == ["IMPROVED", "BAND_PROMISE_BROKEN"]
    assert not verdict.accept
    broken = verdict.reasons[1]
    assert broken.blocking
    assert "band auto promises 0.90" in broken.text
    assert "400 labels" in broken.text
    estimate = intervals.weighted_mean(correct[part], np.ones(400))
    assert verdict.statistics["challenger_accuracy_auto"] == pytest.approx(estimate.mean)
    assert verdict.statistics["challenger_accuracy_high_auto"] == pytest.approx(
        intervals.korn_graubard(estimate)[1]
    )
    assert gate.judge(champion, challenger, correct).accept  # without bands there are no promises


def test_a_promise_that_the_champion_breaks_too_does_not_block() -> None:
    rng = np.random.default_rng(4)
    correct = (rng.random(2000) < 0.75).astype(float)
    verdict = judge(np.full(2000, 0.999), np.full(2000, 0.92), correct)
    assert verdict.accept
    assert "BAND_PROMISE_STILL_BROKEN" in codes(verdict)
    assert "the champion breaks it too" in next(r.text for r in verdict.reasons if "STILL" in r.code)


def test_a_band_slightly_below_its_promise_is_within_its_interval() -> None:
    correct = np.r_[np.zeros(12), np.ones(88)]
    rng = np.random.default_rng(5)
    champion = rng.uniform(0.3, 0.5, 100)
    verdict = judge(champion, np.full(100, 0.9), correct)
    assert verdict.statistics["challenger_accuracy_auto"] == pytest.approx(0.88)
    assert verdict.accept


def test_an_empty_band_is_said() -> None:
    truth, champion, correct, weights, _ = world(500, seed=6, error=1.5)
    capped = np.minimum(truth, 0.89)
    verdict = judge(champion, capped, correct, weights)
    assert "BAND_WITHOUT_LABELS" in codes(verdict)


def test_without_a_champion_the_raw_confidence_stands_in() -> None:
    truth, raw, correct, weights, _ = world(1000, seed=7, error=1.0)
    verdict = judge(None, truth, correct, weights, raw_confidence=raw)
    assert verdict.accept
    assert "of the raw confidence" in verdict.reasons[0].text
    with pytest.raises(errors.RequestRefused, match="raw confidence"):
        gate.judge(None, truth, correct, weights)


def test_confidences_of_0_and_1_have_finite_losses() -> None:
    truth, _, correct, _, _ = world(500, seed=8)
    verdict = judge(np.round(truth), truth, correct)
    assert verdict.accept
    assert all(np.isfinite(value) for value in verdict.statistics.values())


@pytest.mark.parametrize(
    ("confidence", "names"),
    [
        (1.0, "auto"),
        (0.9, "auto"),
        (np.nextafter(0.9, 0), "flagged"),
        (0.7, "flagged"),
        (0.5, "hold"),
        (0.0, "reject"),
    ],
)
def test_bands_are_closed_below_and_open_above(confidence: float, names: str) -> None:
    held = [band.name for band in BANDS if band.holds(np.array([confidence])).all()]
    assert held == [names]


def entry(**changes: Any) -> policy_model.Model:
    fields: dict[str, Any] = {"calibrator": "models:/any@champion", "evidence": "score"}
    return policy_model.Model.model_validate(fields | changes)


def test_without_a_champion_a_broken_promise_blocks() -> None:
    # Nothing is in force and nothing acts: what the raw score would have done excuses nobody.
    rng = np.random.default_rng(4)
    correct = (rng.random(2000) < 0.75).astype(float)
    verdict = judge(None, np.full(2000, 0.92), correct, raw_confidence=np.full(2000, 0.999))
    assert codes(verdict) == ["IMPROVED", "BAND_PROMISE_BROKEN", "BAND_WITHOUT_LABELS"]
    assert not verdict.accept


def test_a_promise_that_is_broken_already_must_not_get_worse_beyond_both_intervals() -> None:
    rng = np.random.default_rng(14)
    good, bad = np.arange(4000) < 2000, np.arange(4000) >= 2000
    correct = (rng.random(4000) < np.where(good, 0.85, 0.55)).astype(float)
    # The champion lets the better half act at 0.95; the challenger, better by log-loss, both.
    champion = np.where(good, 0.9999, 0.0001)
    challenger = np.where(good, 0.92, 0.91)
    verdict = judge(champion, challenger, correct)
    assert codes(verdict)[:2] == ["IMPROVED", "BAND_PROMISE_BROKEN"]
    assert "and the challenger by more, beyond both intervals" in verdict.reasons[1].text
    assert verdict.outcome == "kept_champion"
    assert bad.any()


def test_the_promise_counts_that_the_policy_makes_and_at_its_confidence() -> None:
    correct = np.r_[np.zeros(60), np.ones(940)]  # 94 %
    rng = np.random.default_rng(5)
    champion, challenger = rng.uniform(0.3, 0.5, 1000), np.full(1000, 0.95)

    def found(accuracy: float, confidence: float) -> list[str]:
        bands_of = [
            {
                "name": "auto",
                "from": 0.9,
                "action": "AUTO_ROUTE",
                "promise": {"accuracy": accuracy, "confidence": confidence},
            },
            {"name": "hold", "from": 0.0, "action": "HOLD_FOR_REVIEW"},
        ]
        verdict = gate.judge(
            champion,
            challenger,
            correct,
            promised=promises.of_model(entry(bands=bands_of)),
            before=placement.place(TABLE, champion),
            after=placement.place(TABLE, challenger),
        )
        return codes(verdict)

    assert found(0.90, 0.95) == ["IMPROVED"]
    assert found(0.95, 0.95) == ["IMPROVED"], "95 % is within 92.3 to 95.4"
    assert found(0.95, 0.5) == ["IMPROVED", "BAND_PROMISE_BROKEN"], "but not within the interval at 50 %"
    assert found(0.97, 0.95) == ["IMPROVED", "BAND_PROMISE_BROKEN"]


def test_a_category_has_its_own_promise() -> None:
    policy = entry(categories={"General": {}, "Refunds": {"promise": {"accuracy": 0.97}}})
    table = tables.compile_policy(policy_model.Policy(version=1, models={"m": policy}))["m"]
    rng = np.random.default_rng(8)
    categories = np.where(np.arange(2000) < 400, "refunds", "general")
    correct = (rng.random(2000) < np.where(categories == "refunds", 0.91, 0.97)).astype(float)
    champion, challenger = rng.uniform(0.3, 0.5, 2000), np.full(2000, 0.96)
    verdict = gate.judge(
        champion,
        challenger,
        correct,
        promised=promises.of_model(policy),
        before=placement.place(table, champion, categories),
        after=placement.place(table, challenger, categories),
        categories=categories,
    )
    blocking = [reason for reason in verdict.reasons if reason.blocking]
    assert [reason.code for reason in blocking] == ["BAND_PROMISE_BROKEN"]
    assert "band auto, category refunds promises 0.97" in blocking[0].text
    assert "400 labels" in blocking[0].text
    assert verdict.statistics["challenger_accuracy_auto__category_refunds"] < 0.95


def test_what_only_a_person_may_overrule_has_its_own_outcome() -> None:
    truth, champion, correct, weights, _ = world(1000, seed=0, error=1.0)
    accepted = judge(champion, truth, correct, weights)
    shifted = gate.GateReason(code="SHIFT_NEEDS_APPROVAL", text="", blocking=True)
    back = gate.GateReason(code="ROLLED_BACK", text="", blocking=True)
    assert accepted.with_reasons([shifted, back], {"shift": 0.2}).outcome == "needs_a_person"
    assert accepted.with_reasons([shifted], {"shift": 0.2}).statistics["shift"] == 0.2
    assert not accepted.with_reasons([shifted]).accept
    worse = judge(truth, champion, correct, weights).with_reasons([shifted])
    assert worse.outcome == "kept_champion"


def test_promises_need_a_placement() -> None:
    with pytest.raises(errors.RequestRefused, match="placement"):
        gate.judge(np.full(9, 0.5), np.full(9, 0.6), np.ones(9), promised=promises.of_model(ENTRY))
