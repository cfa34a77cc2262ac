"""The quick versions of the studies on what fits: `make verify-statistics` runs them at length."""

import pytest

from tests.statistics import selection, weighting
from tests.statistics.check import Effort


def test_weights_keep_a_parametric_fit_honest_where_routing_chose_the_labels() -> None:
    checks = weighting.run(Effort.QUICK)
    assert len(checks) == 5
    assert [check.claim for check in checks if not check.holds] == []


def test_the_choice_of_a_calibrator_costs_little_against_hindsight() -> None:
    missing = [name for name in selection.FILES if not (selection.DATA / name).is_file()]
    if missing:
        pytest.skip(f"{missing[0]} is not there: this study needs the real data of ../shared/data")
    checks = selection.run(Effort.QUICK)
    assert len(checks) == 8
    assert [f"{check.claim}: {check.measured}" for check in checks if not check.holds] == []
