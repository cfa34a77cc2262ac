"""A quick version of the study that `make verify-statistics` runs in full."""

import pytest

from tests.statistics import cut_offs
from tests.statistics.check import Effort


@pytest.mark.slow
def test_every_claim_about_cut_offs_holds() -> None:
    checks = cut_offs.run(Effort.QUICK)
    assert len(checks) == 13
    assert [f"{check.claim}: {check.measured}" for check in checks if not check.holds] == []
