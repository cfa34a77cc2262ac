"""The quick versions of the studies behind `make verify-statistics`."""

import numpy as np
import pytest

from tests.statistics import alarms, score_shift
from tests.statistics.check import Effort


@pytest.mark.slow
def test_alarms_are_seldom_false_and_soon_there() -> None:
    checks = alarms.run(Effort.QUICK)
    assert len(checks) >= 9
    assert [f"{check.claim}: {check.measured}" for check in checks if not check.holds] == []


def test_a_real_shift_is_a_warning_and_no_calibration_alarm() -> None:
    if not score_shift.DATA.is_file():
        pytest.skip(f"{score_shift.DATA.name} is not there: this test needs the real data of ../shared/data")
    checks = score_shift.run(Effort.QUICK)
    assert len(checks) >= 7
    assert [f"{check.claim}: {check.measured}" for check in checks if not check.holds] == []


def test_the_study_says_so_where_the_data_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_shift, "DATA", score_shift.DATA.with_name("absent.npz"))
    (check,) = score_shift.run(Effort.QUICK)
    assert check.holds
    assert check.measured.startswith("SKIPPED: absent.npz")


def test_the_firsts_are_the_first_labels_that_reach_a_threshold() -> None:
    outcomes = np.array([[True] * 30 + [False] * 30, [True] * 60])
    firsts = alarms.pair_firsts(0.95, outcomes)
    assert 31 <= firsts.either[0] < 40
    assert firsts.either[1] == alarms.NEVER
    assert firsts.either[0] == min(firsts.mixture[0], firsts.change[0])
