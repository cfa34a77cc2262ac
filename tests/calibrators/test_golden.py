"""Numbers on real logits: ResNet-50 on CIFAR-10, trained with focal loss.

The first two calibration errors are published (AIgen/df-posthoc-calibration), the others were measured.
"""

from pathlib import Path

import numpy as np
import pytest

from calibrators import Calibrator, Evidence, Platt, VectorTemperature, logits

DATA = Path(__file__).parents[3] / "shared" / "data" / "cifar10_resnet50_flsd53_logits.npz"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"{DATA.name} is not in ../shared/data")


@pytest.fixture(scope="module")
def cifar():
    with np.load(DATA) as file:
        return file["test_logits"].astype(np.float64), file["test_labels"].astype(np.int64)


@pytest.fixture(scope="module")
def ece():
    from netcal.metrics import ECE

    return ECE(15)


def log_loss(probabilities, labels):
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize(
    ("temperature", "percent", "loss"), [(1.0, 1.552, 0.1755), (1.1, 0.95, None), (1.062584, 0.972, 0.1738)]
)
def test_temperature_reaches_the_published_calibration_error(cifar, ece, temperature, percent, loss):
    vectors, labels = cifar
    probabilities = Calibrator(VectorTemperature(temperature), epsilon=1e-12).apply(vectors)
    digits = 3 if percent != 0.95 else 2  # as many as were published
    assert round(100 * ece.measure(probabilities, labels), digits) == percent
    if loss is not None:
        assert round(log_loss(probabilities, labels), 4) == loss


def test_platt_on_the_logit_of_the_top_score_reaches_the_measured_calibration_error(cifar, ece):
    vectors, labels = cifar
    top = logits.softmax_array(vectors).max(axis=1)
    correct = (vectors.argmax(axis=1) == labels).astype(int)
    # The notes give scikit-learn's sign: a = -1.018568, b = 0.490327.
    calibrated = Calibrator(Platt(1.018568, -0.490327)).apply(np.minimum(top, 1.0))
    assert round(100 * ece.measure(calibrated, correct), 3) == 0.855


def test_every_real_vector_means_the_same_on_both_paths(cifar):
    vectors, _ = cifar
    calibrator = Calibrator(VectorTemperature(1.062584))
    together = calibrator.apply(vectors[:2000])
    for row, probabilities in zip(vectors[:2000].tolist(), together, strict=True):
        assert np.abs(np.array(calibrator.apply_one(row)) - probabilities).max() <= 1e-12
        assert calibrator.confidence(Evidence("logits", tuple(row))) == pytest.approx(
            probabilities.max(), abs=1e-12
        )
