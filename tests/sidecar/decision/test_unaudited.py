"""What `check` warns of, and what the document says: whatever nobody will know anything about."""

from datetime import date

import pytest

from sidecar.decision import proofs, specification
from sidecar.policy import floors_file, loading

MODEL = """
version: 1
models:
  m:
    mode: {mode}
    calibrator: file:x
    evidence: score
    bands:
      - {{name: auto, from: 0.9, action: AUTO_ROUTE{auto}}}
      - {{name: flagged, from: 0.7, action: AUTO_ROUTE_FLAGGED, review: next_day{flagged}}}
      - {{name: hold, from: 0.5, action: HOLD_FOR_REVIEW{hold}}}
      - {{name: reject, from: 0, action: REJECT{reject}}}
    categories: {{{categories}}}
"""


def policy(mode="enforce", auto="", flagged="", hold="", reject="", categories=""):
    text = MODEL.format(
        mode=mode, auto=auto, flagged=flagged, hold=hold, reject=reject, categories=categories
    )
    return loading.parse(text)


def warnings(loaded, floors=None):
    (table,) = floors_file.merge(loaded.policy, floors).values()
    return proofs.warnings("m", loaded.policy.models["m"], table)


def test_the_defaults_leave_nothing_unaudited():
    assert warnings(policy()) == []
    assert warnings(policy(auto=", audit_budget: 100", reject=", audit_budget: 50")) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"auto": ", audit_rate: 0"},
            "model m, band auto: it acts and is never audited (audit_rate 0): nobody",
        ),
        (
            {"flagged": ", audit_rate: 0"},
            "band flagged: it acts and is never audited (audit_rate 0), but for its",
        ),
        ({"reject": ", audit_rate: 0"}, "model m, band reject: it answers REJECT and is never audited"),
        (
            {"hold": ", audit_budget: 9"},
            "band hold: audit_budget 9 never takes effect: a person reviews all of it",
        ),
        (
            {"mode": "observe", "hold": ", audit_rate: 0"},
            "band hold: it answers HOLD_FOR_REVIEW and is never audited",
        ),
    ],
)
def test_what_nobody_will_know_about_is_warned_of(changes, says):
    (warning,) = warnings(policy(**changes))
    assert says in warning


def test_a_budget_that_can_never_fill_is_warned_of():
    never, unknown = warnings(policy(auto=", audit_rate: 0, audit_budget: 100"))
    assert never == "model m, band auto: audit_budget 100 can never fill: at audit_rate 0 nothing is drawn"
    assert "never audited" in unknown


def test_a_category_is_named_with_what_it_overrides_and_the_mandatory_one_is_not():
    exempt = policy(
        categories="general: {}, exempt: {audit_rate: 0}, legal: {audit_rate: 0, mandatory_review: true}"
    )
    found = warnings(exempt)
    assert [each.split(":")[0] for each in found] == [
        "model m, category exempt, band auto",
        "model m, category exempt, band flagged",
        "model m, category exempt, band reject",
    ]


def test_only_one_band_that_acts_and_is_never_audited():
    loaded = loading.parse(
        "version: 1\nmodels: {m: {calibrator: 'file:x', evidence: score, bands: "
        "[{name: all, from: 0, action: AUTO_ROUTE, audit_rate: 0}]}}"
    )
    (warning,) = warnings(loaded)
    assert "band all: it acts and is never audited" in warning


# The document.


def test_the_document_has_a_line_for_each_band():
    loaded = policy(
        auto=", audit_rate: 0.07, audit_budget: 100, on_breach: hold, "
        "promise: {accuracy: 0.95, confidence: 0.9, by: 2027-03-31}",
        reject=", audit_rate: 0",
        categories="general: {}, refunds: {promise: {accuracy: 0.99}}",
    )
    assert loaded.policy.models["m"].bands[0].promise.by == date(2027, 3, 31)
    text = specification.render(loaded)
    lines = [line for line in text.splitlines() if line.startswith("* (all others), `")]
    auto, flagged, hold, reject = (line.removeprefix("* (all others), ").split("; ") for line in lines)
    assert auto == [
        (
            "`auto`: 7 % of it is drawn for audit, and at most 100 of a week's draws are reviewed, from about 1429 "
            "decisions a week on"
        ),
        "the smallest draws are taken when the week is over",
        "promised is an accuracy of at least 0.95, to be shown at 90 % confidence by 2027-03-31",
        "an alarm suspends it, and only a person lifts that.",
    ]
    assert flagged == [
        "`flagged`: 5 % of it is drawn for audit, and all of that is reviewed",
        "promised is an accuracy of at least 0.70, to be shown at 95 % confidence",
        "an alarm is raised where it breaks, and it goes on acting.",
    ]
    assert hold == ["`hold`: a person reviews each one, so none is drawn."]
    assert reject == ["`reject`: nothing is drawn, so nothing will be known about it."]
    assert "| AUTO_ROUTE | acts; a share is audited | 7 %, at most 100 a week |" in text
    refunds = next(line for line in text.splitlines() if line.startswith("* `refunds`, `auto`"))
    assert "promised is an accuracy of at least 0.99, to be shown at 95 % confidence" in refunds


def test_an_acting_band_from_zero_promises_nothing():
    text = specification.render(
        loading.parse(
            "version: 1\nmodels: {m: {calibrator: 'file:x', evidence: score, bands: "
            "[{name: all, from: 0, action: AUTO_ROUTE}]}}"
        )
    )
    assert (
        "* (all), `all`: 5 % of it is drawn for audit, and all of that is reviewed; nothing is promised; an alarm"
        in text
    )


def test_where_nothing_is_enforced_a_hold_is_drawn():
    text = specification.render(policy(mode="observe", hold=", audit_rate: 0.3, audit_budget: 30"))
    assert (
        "* (all), `hold`: 30 % of it is drawn for audit, and at most 30 of a week's draws are reviewed, from about 100 "
        "decisions a week on" in text
    )
