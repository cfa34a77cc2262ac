"""What the tests of training share: the real data beside the repository, and seeded simulations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.data.dataset import Dataset

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{name} is not there: this test needs the real data of ../shared/data")
    return path


@pytest.fixture(scope="session")
def cifar() -> tuple[Dataset, Dataset]:
    """Validation and test logits of a ResNet-50 on CIFAR-10."""
    with np.load(shared("cifar10_resnet50_flsd53_logits.npz")) as archive:
        return (
            Dataset.from_logits(archive["val_logits"], archive["val_labels"]),
            Dataset.from_logits(archive["test_logits"], archive["test_labels"]),
        )


@pytest.fixture(scope="session")
def hitl_file() -> Path:
    """Stated confidence of language models against expert labels."""
    return shared("llm_hitl_routing_deductive_coding.csv")


Simulate = Callable[..., Dataset]


@pytest.fixture
def simulate() -> Simulate:
    """n answers whose true chance of being right is sigmoid((logit(score) - shift) / stretch)."""

    def make(
        n: int,
        *,
        seed: int = 0,
        stretch: float = 1.0,
        shift: float = 0.0,
        group_size: int = 0,
        weighted: bool = False,
    ) -> Dataset:
        rng = np.random.default_rng(seed)
        logits = rng.normal(2.0, 1.5, n)
        truth = 1.0 / (1.0 + np.exp(-(logits - shift) / stretch))
        return Dataset.of(
            1.0 / (1.0 + np.exp(-logits)),
            rng.random(n) < truth,
            weights=np.where(rng.random(n) < 0.5, 1.0, 20.0) if weighted else None,
            groups=np.arange(n) // group_size if group_size else None,
        )

    return make
