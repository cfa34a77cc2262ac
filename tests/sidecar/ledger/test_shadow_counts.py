"""Where challengers would have put answers: exact sums, however often and in whatever order they are told."""

import itertools
from datetime import date

import msgspec
import pytest

from sidecar.decision import records
from sidecar.decision.records import ShadowCounts, ShadowPair
from sidecar.ledger import intake, shadow
from sidecar.ledger.store import Ledger

DAY = date(2026, 2, 2)
NUMBER = (DAY - date(1970, 1, 1)).days


def counts(n: int, *, more: int = 0, **changes: object) -> ShadowCounts:
    pairs = [ShadowPair(band="auto", shadow_band="flagged", n=n)]
    if more:
        pairs.append(ShadowPair(band="auto", shadow_band="auto", n=more))
    fields: dict[str, object] = {
        "run_id": "run-1",
        "sidecar_id": "sidecar-a",
        "day": NUMBER,
        "model": "leads",
        "champion": "sha256:1",
        "challenger": "sha256:2",
        "pairs": tuple(pairs),
    }
    return ShadowCounts(**(fields | changes))  # type: ignore[arg-type]


def told(ledger: Ledger, **question: object) -> dict[tuple[str, str], int]:
    return {(each.band, each.shadow_band): each.n for each in ledger.read(shadow.counts, **question)}  # type: ignore[arg-type]


def test_a_record_survives_the_journal() -> None:
    assert records.decode(records.encode(counts(3, more=1))) == counts(3, more=1)


@pytest.mark.parametrize("order", list(itertools.permutations([2, 5, 9])))
def test_a_total_replaces_an_earlier_one_in_any_order(ledger: Ledger, order: tuple[int, ...]) -> None:
    for n in order:
        ledger.write(intake.take_in, [counts(n, more=n + 1), counts(n)])
    assert told(ledger) == {("auto", "flagged"): 9, ("auto", "auto"): 10}


def test_the_same_batch_holds_an_earlier_and_a_later_total(ledger: Ledger) -> None:
    ledger.write(intake.take_in, [counts(9), counts(4), counts(9)])
    assert told(ledger) == {("auto", "flagged"): 9}


def test_processes_and_sidecars_add_up(ledger: Ledger) -> None:
    ledger.write(intake.take_in, [counts(2), counts(3, run_id="run-2")])
    ledger.write(intake.take_in, [counts(5, sidecar_id="sidecar-b")])
    [found] = ledger.read(shadow.counts, "leads")
    assert (found.n, found.day, found.champion, found.challenger) == (10, DAY, "sha256:1", "sha256:2")


def test_days_models_and_calibrators_stay_apart(ledger: Ledger) -> None:
    ledger.write(
        intake.take_in,
        [
            counts(1),
            counts(2, day=NUMBER + 1),
            counts(4, model="other"),
            counts(8, challenger="sha256:3"),
            counts(16, champion="sha256:0"),
        ],
    )
    assert sorted(each.n for each in ledger.read(shadow.counts, "leads")) == [1, 2, 8, 16]
    assert sum(each.n for each in ledger.read(shadow.counts)) == 31
    noon = (NUMBER + 1) * 86400.0 + 43200.0
    assert [each.n for each in ledger.read(shadow.counts, "leads", noon)] == [2]
    assert ledger.read(shadow.counts, "nobody") == []


def test_an_absurd_day_is_refused_and_stops_nothing(ledger: Ledger) -> None:
    from sidecar.ledger import database

    with pytest.raises(database.RecordRefused):
        ledger.write(intake.take_in, [msgspec.structs.replace(counts(1), day=10**9)])
    ledger.write(intake.take_in, [counts(1)])
    assert told(ledger) == {("auto", "flagged"): 1}
