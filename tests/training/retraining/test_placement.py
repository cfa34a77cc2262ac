"""Where labelled answers go: the arrays say what the policy's own table says of each answer."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calibrators
from sidecar.decision.decide import Assessment, settle
from sidecar.policy import model as policy_model
from sidecar.policy import tables
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Intent
from sidecar.policy.tables import ModelTable
from training.retraining import placement, promises

OWN = [
    {"name": "auto", "from": 0.95, "action": "AUTO_ROUTE"},
    {"name": "hold", "from": 0.0, "action": "HOLD_FOR_REVIEW"},
]
CATEGORIES: dict[str, Any] = {
    "general": {},
    "Refunds": {"bands": OWN, "promise": {"accuracy": 0.97}},
    "pricing": {"mandatory_review": True},
    "odd": {"mandatory_review": [{"from": 0.92, "to": 0.94}]},
}
LOWER = calibrators.LowerCurve(level=0.95, method="bootstrap", confidences=(0.2, 0.95), bounds=(0.05, 0.85))


def entry(**changes: Any) -> policy_model.Model:
    fields: dict[str, Any] = {"calibrator": "models:/any@champion", "evidence": "score"}
    return policy_model.Model.model_validate(fields | changes)


def table_of(entry: policy_model.Model) -> ModelTable:
    return tables.compile_policy(policy_model.Policy(version=1, models={"m": entry}))["m"]


TABLES = {
    band_on: table_of(entry(categories=CATEGORIES, band_on=band_on))
    for band_on in ("calibrated", "lower_bound")
}
CURVED = calibrators.Calibrator(map=calibrators.Identity(), lower=LOWER)


@pytest.mark.parametrize("band_on", list(TABLES))
@given(
    rows=st.lists(
        st.tuples(
            st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.5, 0.7, 0.9, 0.92, 0.94, 0.95, 1.0])),
            st.sampled_from(["general", "refunds", "pricing", "odd", "unheard of", ""]),
        ),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=60, deadline=None)
def test_each_answer_goes_where_the_policy_settles_it(band_on: str, rows: list[tuple[float, str]]) -> None:
    table = TABLES[band_on]
    confidence = np.array([value for value, _ in rows])
    categories = np.array([category for _, category in rows])
    placed = placement.place(table, confidence, categories, CURVED)
    for (value, category), band, acts in zip(rows, placed.bands, placed.acts, strict=True):
        assessed = Assessment(value, value, None, CURVED.bound_of(value))
        verdict = settle(assessed, category, Intent.LIVE, table)
        assert band == verdict.band
        assert acts == (verdict.action in AUTOMATIC_ACTIONS)


def test_without_a_lower_curve_nothing_acts_where_bands_are_cut_on_it() -> None:
    placed = placement.place(TABLES["lower_bound"], np.array([0.99, 0.2]), None, None)
    assert placed.bands.tolist() == ["", ""]
    assert placed.acts.tolist() == [False, False]


def test_what_changes_is_a_band_or_whether_it_acts() -> None:
    table = TABLES["calibrated"]
    before = placement.place(table, np.array([0.97, 0.97, 0.30]), np.array(["general", "refunds", "general"]))
    after = placement.place(table, np.array([0.97, 0.92, 0.10]), np.array(["general", "refunds", "general"]))
    assert before.changed(after).tolist() == [False, True, False]


def test_promises_are_those_of_the_policy() -> None:
    found = promises.of_model(entry(categories=CATEGORIES))
    told = {each.name: (each.accuracy, each.confidence, each.others) for each in found}
    assert told == {
        "auto": (0.9, 0.95, frozenset({"refunds"})),
        "flagged": (0.7, 0.95, frozenset({"refunds"})),
        "auto, category refunds": (0.97, 0.95, frozenset()),
    }


def test_a_promise_is_about_what_acts_in_its_band_and_categories() -> None:
    table = TABLES["calibrated"]
    confidence = np.array([0.97, 0.97, 0.97, 0.97, 0.75])
    categories = np.array(["general", "refunds", "pricing", "unheard of", "general"])
    placed = placement.place(table, confidence, categories)
    covered = {
        each.name: each.covers(placed, categories).tolist()
        for each in promises.of_model(entry(categories=CATEGORIES))
    }
    assert covered == {
        "auto": [True, False, False, False, False],
        "flagged": [False, False, False, False, True],
        "auto, category refunds": [False, True, False, False, False],
    }
