import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import errors
from training.data.dataset import Dataset
from training.measure import binning, evaluation

Simulate = Callable[..., Dataset]


@pytest.mark.slow
def test_own_measures_are_netcals_to_1e_9(simulate: Simulate) -> None:
    edges = np.linspace(0.0, 1.0, 16)
    awkward = np.concatenate((edges, np.nextafter(edges[1:], 0.0), [0.0, 1.0, 5e-324], np.full(50, 1.0)))
    cases = [simulate(5000, seed=1, stretch=2.0), simulate(31, seed=2)]
    cases.append(Dataset.of(awkward, np.arange(awkward.size) % 3 == 0))
    cases.append(Dataset.of(np.round(cases[0].scores, 1), cases[0].correct))
    for data in cases:
        theirs = evaluation.evaluate(data.scores, data.correct, seed=0)
        ours = evaluation.evaluate(data.scores, data.correct, seed=0, use_netcal=False)
        assert (theirs.ece, theirs.mce, theirs.ace) == pytest.approx((ours.ece, ours.mce, ours.ace), abs=1e-9)
        assert "netcal's" in theirs.notes[0]
        # Equal weights, whatever they are, are no weights.
        assert evaluation.evaluate(data.scores, data.correct, data.weights * 7.0, seed=0).ece == theirs.ece


def test_weights_count_as_copies(simulate: Simulate) -> None:
    data = simulate(800, seed=3, stretch=2.0)
    copies = np.random.default_rng(0).integers(1, 5, 800)
    weighted = evaluation.evaluate(data.scores, data.correct, copies.astype(float), seed=0)
    repeated = evaluation.evaluate(
        np.repeat(data.scores, copies), np.repeat(data.correct, copies), seed=0, use_netcal=False
    )
    for name in ("accuracy", "log_loss", "brier", "ece", "mce", "ace", "mcb", "dsc", "unc"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), abs=1e-12), name
    assert "netcal cannot weight" in weighted.notes[0]
    assert weighted.n == 800
    assert weighted.n_effective < 800


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans(), st.floats(0.01, 100.0)), min_size=1, max_size=50)
)
def test_the_brier_score_decomposes(rows: list[tuple[float, bool, float]]) -> None:
    confidence, correct, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = evaluation.evaluate(confidence, correct, weights, seed=0, use_netcal=False)
    assert found.brier == pytest.approx(found.mcb - found.dsc + found.unc, abs=1e-12)
    assert min(found.mcb, found.dsc, found.unc) >= 0.0
    assert found.unc == pytest.approx(found.accuracy * (1 - found.accuracy), abs=1e-12)
    assert found.ace <= found.mce + 1e-15
    low, high = found.ece_interval
    assert 0.0 <= low <= found.ece + 1e-15
    assert found.ece - 1e-15 <= high <= 1.0
    assert np.isfinite(found.log_loss)


def test_corp_by_hand() -> None:
    confidence = np.array([0.2, 0.4, 0.6, 0.8])
    correct = np.array([0.0, 1.0, 0.0, 1.0])
    # Pooling gives 0, 0.5, 0.5, 1: S(r) = 0.125; S(c) = (0.04 + 0.36 + 0.36 + 0.04) / 4; S(m) = 0.25.
    assert evaluation.corp(confidence, correct, np.ones(4)) == pytest.approx((0.2 - 0.125, 0.125, 0.25))


def test_a_constant_base_rate_has_no_miscalibration_and_no_discrimination(simulate: Simulate) -> None:
    data = simulate(500)
    found = evaluation.evaluate(np.full(500, data.positives), data.correct, seed=0, use_netcal=False)
    assert (found.ece, found.mcb, found.dsc) == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)
    assert evaluation.evaluate(data.scores, data.correct, seed=0, use_netcal=False).dsc > 0.01


@pytest.mark.parametrize(("shift", "least"), [(0.0, 0.93), (1.0, 0.87)])
def test_the_interval_covers_the_true_error(simulate: Simulate, shift: float, least: float) -> None:
    big = simulate(400_000, seed=99, shift=shift)
    truth = 0.0 if shift == 0.0 else binning.bin_rows(big.scores, big.correct, big.weights).ece
    covered = 0
    for seed in range(100):
        data = simulate(500, seed=seed, shift=shift)
        low, high = binning.ece_interval(data.scores, data.correct, data.weights, seed=seed, replicates=200)
        covered += low <= truth <= high
    assert covered / 100 >= least


def test_groups_widen_the_interval(simulate: Simulate) -> None:
    data = simulate(200, seed=5, stretch=2.0)
    scores, correct = np.tile(data.scores, 10), np.tile(data.correct, 10)
    groups = np.tile(np.arange(200), 10)
    ones = np.ones(2000)
    blind = binning.ece_interval(scores, correct, ones, seed=0)
    aware = binning.ece_interval(scores, correct, ones, groups, seed=0)
    once = binning.ece_interval(data.scores, data.correct, data.weights, seed=0)
    assert aware[1] - aware[0] > 2 * (blind[1] - blind[0])
    assert aware == pytest.approx(once, abs=1e-12)


def test_the_seed_decides(simulate: Simulate) -> None:
    data = simulate(300, seed=6, stretch=2.0)
    first, again, other = (
        binning.ece_interval(data.scores, data.correct, data.weights, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("confidence", [[], [0.5, np.nan], [0.5, 1.2], [0.5]])
def test_refuses_what_is_no_confidence(confidence: list[float]) -> None:
    correct = np.zeros(len(confidence)) if confidence != [0.5] else np.zeros(2)
    with pytest.raises(errors.DataRefused):
        evaluation.evaluate(np.array(confidence), correct, seed=0)


@pytest.mark.process
def test_torch_stays_away_until_it_is_needed() -> None:
    program = (
        "import sys, numpy as np\n"
        "from training.data import files\n"
        "from training.fit import selection\n"
        "from training.measure import evaluation\n"
        "from training.retraining import gate\n"
        "evaluation.evaluate(np.array([.5, .6]), np.array([0., 1.]), seed=0, use_netcal=False)\n"
        "evaluation.evaluate(np.array([.5, .6]), np.array([0., 1.]), np.array([1., 2.]), seed=0)\n"
        "sys.exit('torch' in sys.modules or 'netcal' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
