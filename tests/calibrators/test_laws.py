"""Laws that every calibrator keeps, whatever its kind, its parameters and its input."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import calibrators
from calibrators import (
    Beta,
    Calibrator,
    Constant,
    Evidence,
    EvidenceUnusable,
    Identity,
    Isotonic,
    Platt,
    Temperature,
    VectorTemperature,
    logits,
)

AGREEMENT = 1e-12
EDGES = (0.0, 5e-324, 2.2e-308, 1e-12, 1e-6, 0.5, 1.0 - 1e-6, math.nextafter(1.0, 0.0), 1.0)

scores = st.one_of(st.sampled_from(EDGES), st.floats(0.0, 1.0))
epsilons = st.sampled_from([1e-12, 1e-6, 1e-3, 0.1])


@st.composite
def isotonic_maps(draw):
    x = draw(st.lists(scores, min_size=1, max_size=12, unique=True).map(sorted))
    y = draw(st.lists(scores, min_size=len(x), max_size=len(x)).map(sorted))
    return Isotonic(tuple(x), tuple(y))


def parametric(steepness, offset):
    return {
        "identity": st.just(Identity()),
        "constant": st.builds(Constant, scores),
        "temperature": st.builds(Temperature, steepness.map(lambda slope: 1.0 / max(slope, 1e-300))),
        "platt-logit": st.builds(Platt, steepness, offset, st.just("logit")),
        "platt-raw": st.builds(Platt, steepness, offset, st.just("raw")),
        "beta": st.builds(Beta, steepness, steepness, offset),
        "isotonic": isotonic_maps(),
    }


# Maps as fits produce them, on which both paths agree, and maps as hostile as finite numbers can be.
ORDINARY = parametric(st.floats(0.0, 100.0), st.floats(-200.0, 200.0))
EXTREME = parametric(st.floats(0.0, 1.7e308), st.floats(-1.7e308, 1.7e308))
KINDS = sorted(ORDINARY)

logit_rows = st.integers(2, 6).flatmap(
    lambda width: st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=width, max_size=width),
        min_size=1,
        max_size=5,
    )
)


@st.composite
def runs_of_scores(draw):
    """Sorted scores in which neighbours in the sense of floating point stand beside each other."""
    found = draw(st.lists(scores, min_size=1, max_size=20))
    for start in found[:3]:
        value = start
        for _ in range(draw(st.integers(0, 6))):
            value = math.nextafter(value, 1.0)
            found.append(value)
    return sorted(found)


@pytest.mark.parametrize("strength", [ORDINARY, EXTREME], ids=["ordinary", "extreme"])
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_both_paths_keep_the_order_and_the_range(kind, strength, data):
    calibrator = Calibrator(data.draw(strength[kind]), epsilon=data.draw(epsilons))
    run = data.draw(runs_of_scores())
    for calibrated in ([calibrator.apply_one(score) for score in run], calibrator.apply(run).tolist()):
        assert all(calibrator.epsilon <= value <= 1.0 - calibrator.epsilon for value in calibrated)
        assert calibrated == sorted(calibrated)


NEIGHBOURS = [
    Temperature(1.7),
    Temperature(200.0),
    Platt(1.02, -0.49),
    Platt(1e-9, 0.3),
    Platt(40.0, 3.0),
    Platt(6.0, -3.0, "raw"),
    Beta(0.8, 1.3, -0.2),
    Isotonic((0.05, 0.3, 0.31, 0.7), (0.1, 0.30000000000000004, 0.7, 0.7000000000000001)),
]


@pytest.mark.parametrize("mapping", NEIGHBOURS, ids=repr)
def test_neighbours_in_the_last_bit_keep_their_order(mapping):
    rng = np.random.default_rng(2)
    run = [
        np.concatenate(
            [rng.random(5000), 10.0 ** rng.uniform(-7, 0, 2500), 1 - 10.0 ** rng.uniform(-7, 0, 2500)]
        )
    ]
    for _ in range(3):
        run.append(np.nextafter(run[-1], 2.0))
    run = np.unique(np.clip(np.concatenate(run), 0.0, 1.0))
    calibrator = Calibrator(mapping, epsilon=1e-9)
    assert (np.diff(calibrator.apply(run)) >= 0.0).all()
    assert (np.diff([calibrator.apply_one(score) for score in run.tolist()]) >= 0.0).all()


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_no_score_gives_nan_and_equal_scores_give_equal_confidence(kind, data):
    calibrator = Calibrator(data.draw(EXTREME[kind]))
    calibrated = calibrator.apply(np.repeat(EDGES, 2))
    assert np.isfinite(calibrated).all()
    assert (calibrated[::2] == calibrated[1::2]).all()


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_the_scalar_path_agrees_with_the_array_path(kind, data):
    calibrator = Calibrator(data.draw(ORDINARY[kind]), epsilon=data.draw(epsilons))
    run = data.draw(runs_of_scores())
    one_by_one = [calibrator.apply_one(score) for score in run]
    assert np.abs(calibrator.apply(run) - one_by_one).max() <= AGREEMENT


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_the_document_gives_back_the_calibrator_bit_for_bit(kind, data):
    calibrator = Calibrator(data.draw(EXTREME[kind]), epsilon=data.draw(epsilons))
    text = calibrators.dumps(calibrator)
    loaded = calibrators.loads(text)
    assert loaded == calibrator
    assert loaded.digest == calibrator.digest
    assert calibrators.dumps(loaded) == text
    assert calibrators.loads(text.encode()) == calibrator


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_score_as_evidence_is_calibrated_as_a_score(kind, data):
    calibrator = Calibrator(data.draw(ORDINARY[kind]))
    score = data.draw(scores)
    assert calibrator.confidence(Evidence("score", (score,))) == calibrator.apply_one(score)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, -5e-324, math.nextafter(1.0, 2.0), 17.0])
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_no_score_is_refused_by_both_paths(kind, score, data):
    calibrator = Calibrator(data.draw(ORDINARY[kind]))
    with pytest.raises(EvidenceUnusable, match="between 0 and 1"):
        calibrator.apply_one(score)
    with pytest.raises(EvidenceUnusable, match="row 1"):
        calibrator.apply([0.5, score])


@given(
    rows=logit_rows, temperature=st.floats(5e-324, 1.7e308), epsilon=st.sampled_from([1e-12, 1e-6, 1e-3, 0.1])
)
def test_vector_temperature_keeps_the_order_within_each_vector(rows, temperature, epsilon):
    calibrator = Calibrator(VectorTemperature(temperature), epsilon=epsilon)
    for calibrated in ([calibrator.apply_one(row) for row in rows], calibrator.apply(rows).tolist()):
        for row, probabilities in zip(rows, calibrated, strict=True):
            assert all(epsilon <= probability <= 1.0 - epsilon for probability in probabilities)
            by_logit = [probability for _, probability in sorted(zip(row, probabilities, strict=True))]
            assert by_logit == sorted(by_logit)
            for i, first in enumerate(row):
                assert all(
                    probabilities[i] == probabilities[j] for j, other in enumerate(row) if other == first
                )


@given(rows=logit_rows, temperature=st.floats(1e-3, 1e3))
def test_vector_temperature_sums_to_one_before_the_clipping_on_both_paths(rows, temperature):
    together = logits.softmax_array(np.array(rows), temperature)
    for row, probabilities in zip(rows, together, strict=True):
        alone = logits.softmax(row, temperature)
        assert abs(sum(alone) - 1.0) <= 1e-14
        assert abs(probabilities.sum() - 1.0) <= 1e-14
        assert np.abs(probabilities - alone).max() <= AGREEMENT


@given(rows=logit_rows, temperature=st.floats(1e-3, 1e3))
def test_vector_documents_round_trip_and_both_paths_agree(rows, temperature):
    calibrator = calibrators.loads(calibrators.dumps(Calibrator(VectorTemperature(temperature))))
    assert calibrator == Calibrator(VectorTemperature(temperature))
    one_by_one = np.array([calibrator.apply_one(row) for row in rows])
    assert np.abs(calibrator.apply(rows) - one_by_one).max() <= AGREEMENT
