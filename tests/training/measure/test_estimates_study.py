"""The study behind `make verify-statistics`, in its quick form; and that it would notice a wrong estimator."""

import numpy as np
import pytest

from tests.statistics import estimates
from tests.statistics.check import Effort
from training.measure.post_stratified import Sample


@pytest.mark.slow
def test_every_claim_holds() -> None:
    checks = estimates.run(Effort.QUICK)
    assert len(checks) == 12
    assert [f"{check.claim}: {check.measured}" for check in checks if not check.holds] == []


def test_an_estimator_without_weights_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sample, "weights", property(lambda self: np.ones(self.stratum.size)))
    monkeypatch.setattr(estimates, "REPLAYS", 30)
    broken = [check.claim for check in estimates.run(Effort.QUICK) if not check.holds]
    assert any("all decisions" in claim for claim in broken)
    assert any("labelled in full" in claim for claim in broken)
    assert any("cover" in claim for claim in broken)
