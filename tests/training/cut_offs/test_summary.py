"""The work that cut-offs make."""

from decimal import Decimal

import numpy as np
import pytest

from sidecar.policy.model import DEFAULT_BANDS
from training.cut_offs import proposal, summary
from training.cut_offs.proposal import CutOffs

CONFIDENCE = np.array([0.95, 0.9, 0.89, 0.7, 0.5, 0.49, 0.1, 0.0])
CURRENT = proposal.current(DEFAULT_BANDS)


def test_of_1000_decisions_each_band_gets_its_share() -> None:
    found = summary.workload(CURRENT, DEFAULT_BANDS, CONFIDENCE, np.ones(8))
    assert dict(found.bands) == {"auto": 250.0, "flagged": 250.0, "hold": 125.0, "reject": 375.0}
    # Held and flagged ones are looked at, and of the others 5 %.
    assert found.looks == pytest.approx(250 + 125 + 0.05 * (250 + 375))
    assert found.hours is None


def test_hours_follow_from_the_minutes() -> None:
    found = summary.workload(CURRENT, DEFAULT_BANDS, CONFIDENCE, np.ones(8), minutes_per_review=3.0)
    assert found.hours == pytest.approx(found.looks * 3.0 / 60.0)


def test_weights_say_for_how_many_decisions_a_row_stands() -> None:
    found = summary.workload(CURRENT, DEFAULT_BANDS, np.array([0.95, 0.1]), np.array([20.0, 1.0]))
    assert found.bands["auto"] == pytest.approx(1000 * 20 / 21)


def test_a_band_that_vanished_gets_nothing() -> None:
    edges = CutOffs(edges=(("auto", Decimal("0.8")), ("hold", Decimal("0.00"))))
    found = summary.workload(edges, DEFAULT_BANDS, CONFIDENCE, np.ones(8))
    assert dict(found.bands) == {"auto": 375.0, "hold": 625.0}
