import math

import pytest

from training import errors
from training.watch.thresholds import Thresholds


def test_each_detector_has_half_of_the_rate() -> None:
    thresholds = Thresholds.of(0.05)
    assert math.exp(thresholds.mixture_log_e) == pytest.approx(40.0)
    assert math.exp(thresholds.change_log_statistic) == pytest.approx(80_000.0)
    assert thresholds.horizon_labels == 2000
    assert math.exp(Thresholds.of(0.05, 1000).change_log_statistic) == pytest.approx(40_000.0)


def test_either_raises_the_alarm() -> None:
    thresholds = Thresholds.of(0.05)
    low, high = -1.0, 20.0
    assert not thresholds.reached(low, low)
    assert thresholds.reached(high, low)
    assert thresholds.reached(low, high)
    assert thresholds.reached(thresholds.mixture_log_e, -math.inf)
    assert thresholds.reached(low, thresholds.change_log_statistic)


def test_whatever_raises_the_alarm_is_an_e_value_of_one_over_the_rate() -> None:
    thresholds = Thresholds.of(0.05)
    for mixture, change in (
        (thresholds.mixture_log_e, -math.inf),
        (-50.0, thresholds.change_log_statistic),
    ):
        assert thresholds.log_e_value(mixture, change, 700) == pytest.approx(math.log(20.0), abs=1e-9)
    assert thresholds.log_e_value(0.0, -math.inf, 0) == pytest.approx(math.log(0.5))
    # Past the horizon the same statistic is worth less: its expectation has grown with the labels.
    later = thresholds.log_e_value(-50.0, thresholds.change_log_statistic, 8000)
    assert later == pytest.approx(math.log(5.0), abs=1e-9)


@pytest.mark.parametrize("rate", [0.0, -0.1, math.nan, 2.0])
def test_refuses_what_is_no_rate(rate: float) -> None:
    with pytest.raises(errors.RequestRefused, match="false alarm rate"):
        Thresholds.of(rate)


def test_refuses_an_empty_horizon() -> None:
    with pytest.raises(errors.RequestRefused, match="horizon"):
        Thresholds.of(0.05, 0)
