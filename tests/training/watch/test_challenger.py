"""A challenger beside its champion: the evidence, its guarantee, and what the watch makes of it."""

import itertools
import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

import calibrators
from calibrators import AppliesTo, Calibrator, Constant, Evidence, Identity
from sidecar.decision.records import Artifact, InForce
from sidecar.decision.steps import CalibratorReference
from tests import builders
from tests.statistics import challenger as study
from tests.statistics import paths
from tests.statistics.check import Effort
from training import errors
from training.watch import challenger, measurements
from training.watch.challenger import ChallengerEvidence

DIFFERENCES = st.floats(-1.0, 1.0)
START = 1_790_000_000.0


# The evidence.


def fed(differences) -> ChallengerEvidence:
    evidence = ChallengerEvidence()
    for each in differences:
        evidence = evidence.updated(each)
    return evidence


def test_vector() -> None:
    assert ChallengerEvidence().log_e == ChallengerEvidence().log_e_reverse == 0.0
    evidence = fed([0.5, -0.2])
    expected = (1.125 * 0.95 + 1.25 * 0.9 + 1.475 * 0.81) / 3.0
    reverse = (0.875 * 1.05 + 0.75 * 1.1 + 0.525 * 1.19) / 3.0
    assert math.exp(evidence.log_e) == pytest.approx(expected, rel=1e-12)
    assert math.exp(evidence.log_e_reverse) == pytest.approx(reverse, rel=1e-12)
    assert evidence.labels == 2
    assert challenger.log_needed(0.05) == pytest.approx(math.log(40.0))


@given(
    high=st.floats(0.01, 1.0),
    low=st.floats(-1.0, -0.01),
    slack=st.floats(0.0, 1.0),
    past=st.lists(DIFFERENCES, max_size=6),
)
def test_expects_no_growth_from_a_label_while_the_mean_is_at_most_zero(high, low, slack, past) -> None:
    """Every two-point law with a mean of at most 0, from any state; and the mirror image for the reverse."""
    share = (1.0 - slack) * -low / (high - low)
    for sign, name in ((1.0, "log_e"), (-1.0, "log_e_reverse")):
        state = fed(past)
        now = getattr(state, name)
        grown = sum(
            probability * math.exp(getattr(state.updated(sign * value), name) - now)
            for probability, value in ((share, high), (1.0 - share, low))
        )
        assert grown <= 1.0 + 1e-9
        if slack == 0.0:
            assert grown == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("high", "low"), [(1.0, -1.0), (0.36, -0.04), (0.05, -0.9)])
def test_over_eight_labels_it_is_worth_one_on_average(high: float, low: float) -> None:
    """Enumerates every sequence of two outcomes whose mean is 0."""
    share = -low / (high - low)
    total = reached = 0.0
    for sequence in itertools.product((high, low), repeat=8):
        ups = sequence.count(high)
        probability = share**ups * (1.0 - share) ** (8 - ups)
        path = paths.challenger(sequence)
        total += probability * math.exp(path[-1])
        reached += probability * bool(np.any(path >= math.log(5.0)))
    assert total == pytest.approx(1.0, abs=1e-12)
    assert reached <= 0.2


@given(differences=st.lists(DIFFERENCES, min_size=1, max_size=40), seed=st.integers(0, 99))
def test_neither_order_nor_pauses_matter_and_the_path_is_the_same(differences, seed) -> None:
    evidence = fed(differences)
    shuffled = np.random.default_rng(seed).permutation(differences).tolist()
    assert fed(shuffled).log_e == pytest.approx(evidence.log_e, abs=1e-9)
    assert paths.challenger(differences)[-1] == pytest.approx(evidence.log_e, abs=1e-9)
    assert paths.challenger(np.negative(differences))[-1] == pytest.approx(evidence.log_e_reverse, abs=1e-9)
    stored = msgspec.json.decode(msgspec.json.encode(evidence), type=ChallengerEvidence)
    assert stored == evidence


def test_the_quick_study_holds() -> None:
    checks = study.run(Effort.QUICK)
    assert len(checks) == 5
    assert [f"{check.claim}: {check.measured}" for check in checks if not check.holds] == []


def test_a_label_of_a_band_that_is_audited_less_than_planned_counts_once() -> None:
    assert challenger.weight(0.05, 0.1) == 1.0


def test_what_is_no_difference_is_refused() -> None:
    for wrong in (1.01, -1.01, math.nan, math.inf):
        with pytest.raises(errors.DataRefused):
            ChallengerEvidence().updated(wrong)
        with pytest.raises(errors.DataRefused):
            challenger.difference(wrong, 0.5, correct=True)
        with pytest.raises(errors.DataRefused):
            challenger.weight(wrong, 0.5)
    with pytest.raises(errors.DataRefused):
        challenger.weight(0.5, 0.0)
    assert challenger.difference(0.9, 0.6, correct=False) == pytest.approx(0.45)
    for state in ({"log_bets": (0.0,)}, {"log_reverse": (0.0, math.nan, 0.0)}, {"labels": -1}):
        with pytest.raises(errors.RequestRefused):
            ChallengerEvidence(**state)


# The watch.


def calibrator(made, **applies) -> Calibrator:
    fields = {"model": "leads", "model_versions": None, "evidence": "score"} | applies
    return Calibrator(made, applies_to=AppliesTo(**fields))


CHAMPION, BETTER, WORSE = calibrator(Constant(0.95)), calibrator(Identity()), calibrator(Constant(0.2))


def put(
    world, made: Calibrator | None, role: str, version: str, since: float, *, sidecar="s", slot="leads"
) -> CalibratorReference:
    name, digest = "leads-calibrator", "" if made is None else made.digest
    if made is not None:
        world.apply([Artifact(digest=digest, kind="calibrator", body=calibrators.dumps(made))])
    entry = InForce(
        sidecar_id=sidecar,
        slot=f"{role}:{slot}",
        digest=digest,
        name=name,
        version=version,
        since=START + since,
    )
    world.apply([entry])
    return CalibratorReference(name=name, version=version, kind="constant", digest=digest)


def decide(world, n: int, champion: CalibratorReference, *, evidence=None, **changes) -> None:
    """Answers with scores of 0.96 and 0.55 in turn, as often correct as they say; the champion says 0.95 of all."""
    records = []
    for _ in range(n):
        world.next += 1
        number = world.next
        score, correct = (0.96, number % 50 != 0) if number % 2 == 0 else (0.55, number % 20 < 11)
        fields = {"score": score, "raw_confidence": score, "calibrator": champion} | changes
        decision, label = world.audited(number, correct, **fields)
        records += [
            decision if evidence is None else builders.altered(decision, evidence=evidence),
            label,
        ]
    world.apply(records)


def told(world, **more) -> list[dict[str, object]]:
    _, out, _ = world.watch("--json", **more)
    return json.loads(out)["models"]["leads"]["challengers"]


def line(world) -> str:
    return " ".join(world.watch()[1].split())


@pytest.mark.slow
def test_a_better_challenger_is_told_and_not_promoted(world, tmp_path, monkeypatch) -> None:
    champion = put(world, CHAMPION, "calibrator", "3", 0.0)
    decide(world, 100, champion)  # before anybody held the challenger
    put(world, BETTER, "challenger", "4", 100.5)
    assert told(world) == [], "no label on it yet"
    assert "Challenger" not in line(world)
    decide(world, 200, champion)
    (found,) = told(world)
    assert (found["labels"], found["left_out"], found["version"]) == (200, 0, "4")
    assert (found["champion"], found["challenger"]) == (CHAMPION.digest, BETTER.digest)
    assert found["brier_champion"] > found["brier_challenger"] + 0.05
    assert found["log_evidence"] >= found["log_needed"] == pytest.approx(math.log(40.0))
    assert found["log_evidence_champion"] < 0.0
    said = line(world)
    assert "Challenger of leads, leads-calibrator version 4 beside version 3: on 200 audit labels" in said
    assert "that the challenger is better (40 : 1 would do); a person may promote it: " in said
    assert "trueband-training promote 4 --name leads-calibrator --reason TEXT" in said
    assert told(world) == [found], "asking changes nothing"
    file, logged = tmp_path / "watch.prom", {}
    monkeypatch.setattr(measurements, "log", lambda _, metrics, **__: logged.update(metrics))
    world.watch("--prometheus", str(file), "--mlflow")
    assert logged["any/challenger/labels"] == 200
    assert logged["any/challenger/log_evidence"] == pytest.approx(found["log_evidence"])
    assert logged["any/challenger/brier_difference"] == pytest.approx(
        found["brier_champion"] - found["brier_challenger"]
    )
    samples = {
        sample.name: sample
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
    }
    assert samples["trueband_watch_challenger_labels"].value == 200
    assert samples["trueband_watch_challenger_log_evidence"].value == pytest.approx(found["log_evidence"])
    assert samples["trueband_watch_challenger_labels"].labels["challenger"] == "4"


def test_a_worse_one_is_told_too_and_nobody_is_told_to_promote_it(world) -> None:
    champion = put(world, CHAMPION, "calibrator", "3", 0.0)
    put(world, WORSE, "challenger", "5", 0.0)
    decide(world, 100, champion)
    (found,) = told(world)
    assert found["log_evidence_champion"] >= found["log_needed"] > found["log_evidence"]
    said = line(world)
    assert "that the champion is better (40 : 1 would do)" in said
    assert "promote" not in said


def test_only_the_audit_labels_of_the_pair_in_force_count(world) -> None:
    champion = put(world, CHAMPION, "calibrator", "3", 0.0)
    put(world, BETTER, "challenger", "4", 0.0)
    put(world, WORSE, "challenger", "5", 0.0, sidecar="other")
    put(world, BETTER, "challenger", "4", 50.5, sidecar="other")
    decide(world, 50, champion, sidecar_id="other")  # beside another challenger
    decide(world, 7, champion, sidecar_id="other")
    older = CalibratorReference(name="leads-calibrator", version="2", kind="constant", digest="sha256:old")
    decide(world, 20, older)
    decide(world, 20, champion, drawn=False, tasks=(), label_task_id="", label_channel="OUTCOME")
    decide(world, 20, champion, sidecar_id="third")  # has no challenger
    decide(world, 3, champion, calibrated_confidence=None)
    decide(world, 2, champion, evidence=Evidence("probabilities", (0.9, 0.1), answer_index=0))
    (found,) = told(world)
    assert (found["labels"], found["left_out"]) == (7, 5)
    put(world, None, "challenger", "", 500.0)
    assert told(world) == [], "there is none any more"
    put(world, CHAMPION, "challenger", "3", 501.0)
    assert told(world) == [], "the champion is no challenger of itself"


def test_each_label_counts_by_the_rate_that_its_policy_planned(world) -> None:
    world.use(world.policy.canonical.replace('"audit_rate":null', '"audit_rate":0.2', 1))
    bands = world.policy.policy.models["leads"].bands
    assert [band.audit_rate for band in bands] == [0.2, None, None, None]
    champion = put(world, CHAMPION, "calibrator", "3", 0.0)
    put(world, BETTER, "challenger", "4", 0.0)
    decide(world, 1, champion, audit_rate=0.2)  # 0.55, correct
    decide(world, 1, champion, audit_rate=0.05, band="reject")  # 0.96, correct
    (found,) = told(world)
    first, second = 0.05**2 - 0.45**2, 0.05**2 - 0.04**2
    expected = paths.challenger([first / 4.0, second])[-1]
    assert found["log_evidence"] == pytest.approx(expected, abs=1e-9)
    assert found["brier_challenger"] == pytest.approx((0.45**2 / 4.0 + 0.04**2) / 1.25)


def test_a_version_with_a_calibrator_of_its_own_has_a_challenger_of_its_own(world) -> None:
    world.use(world.policy.canonical.replace('"versions":{}', '"versions":{"v2":"models:/two@champion"}'))
    assert world.policy.policy.models["leads"].versions
    champion = put(world, CHAMPION, "calibrator", "3", 0.0)
    own = put(world, CHAMPION, "calibrator", "1", 0.0, slot="leads:v2")
    put(world, BETTER, "challenger", "4", 0.0)
    put(world, WORSE, "challenger", "2", 0.0, slot="leads:v2")
    decide(world, 10, champion)
    decide(world, 6, own, model_version="v2")
    found = {each["model_version"]: (each["version"], each["labels"]) for each in told(world)}
    assert found == {"": ("4", 10), "v2": ("2", 6)}
