"""The document that a person signs says what the service does, to the last digit."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.decision import specification
from sidecar.policy import categories, floors_file, loading

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/c@champion
    versions: {v8: models:/c8/3}
    evidence: token_logprobs
    aggregation: min
    model_version: required
    criterion: kept
    bands:
      - {name: auto, from: 0.995, action: AUTO_ROUTE, audit_rate: 0.0005}
      - {name: flagged, from: 0.7, action: AUTO_ROUTE_FLAGGED, review: next_day}
      - {name: hold, from: 0.5, action: HOLD_FOR_REVIEW}
      - {name: reject, from: 0, action: REJECT, audit_rate: 0.07}
    categories:
      general: {}
      Contract-Law: {mandatory_review: true}
      refunds: {audit_rate: 0.25, mandatory_review: [{from: 0.123456789, to: 0.9999999}]}
    unknown_category: ESCALATE
    stale: {after: 90m, action: ESCALATE}
    expires_after: 36h
review: {time_zone: Europe/Berlin, hold_due: 30m}
"""
GOLDEN = [
    "## Model `lead-classifier`",
    "**Mode: enforce.** The service's answer decides.",
    "* Calibrator: `models:/c@champion`; version v8: `models:/c8/3`",
    "* Evidence: token_logprobs, min over tokens",
    "* Judged by criterion: kept",
    "* Model version: required",
    "* A permission to act holds for 36 hours.",
    "| (all others) | auto | 0.995 | 1.00 (included) | AUTO_ROUTE | acts; a share is audited | 0.05 % |",
    (
        "| (all others) | hold | 0.50 | 0.70 | HOLD_FOR_REVIEW | waits for a person before any action "
        "| reviewed anyway |"
    ),
    "| (all others) | reject | 0.00 | 0.50 | REJECT | is discarded without action | 7 % |",
    "| `refunds` | auto | 0.995 | 1.00 (included) | AUTO_ROUTE | acts; a share is audited | 25 % |",
    "* `contract_law`",
    "* `pricing` (built in; a policy cannot remove it)",
    "* `refunds` from 0.123456789 to 0.9999999",
    "A category that is missing or not listed: at best ESCALATE.",
    "| contract_law | 0.995 to 1.00 | HOLD_FOR_REVIEW | ESCALATE | HOLD_FOR_REVIEW |",
    "| general | 0.995 to 1.00 | AUTO_ROUTE | ESCALATE | HOLD_FOR_REVIEW |",
    "| legal_language | 0.00 to 0.50 | ESCALATE | ESCALATE | HOLD_FOR_REVIEW |",
    "| refunds | 0.9999999 to 1.00 | AUTO_ROUTE | ESCALATE | HOLD_FOR_REVIEW |",
    "| (missing or not listed) | 0.995 to 1.00 | ESCALATE | ESCALATE | ESCALATE |",
]


@pytest.mark.parametrize("line", GOLDEN)
def test_the_document_holds_the_line(line):
    assert line in specification.render(loading.parse(POLICY)).splitlines()


def test_the_document_names_its_digest_and_times():
    loaded = loading.parse(POLICY)
    document = specification.render(loaded)
    assert f"`{loaded.digest}`" in document
    assert "confirmed within 90 minutes" in document
    assert (
        "Times are in Europe/Berlin. A held answer is due within 30 minutes, an escalation within 1 hour"
        in document
    )
    assert "blocked for more than 4 hours" in document


def test_the_same_policy_gives_the_same_document():
    loaded = loading.parse(POLICY)
    again = loading.parse(loaded.canonical)
    assert specification.render(loaded) == specification.render(loading.parse(POLICY))
    # Categories come in the file's order there, in sorted order here; every line is the same.
    assert sorted(specification.render(loaded).splitlines()) == sorted(
        specification.render(again).splitlines()
    )


def test_observing_is_said_and_holds_are_drawn():
    document = specification.render(
        loading.parse(POLICY.replace("    evidence:", "    mode: observe\n    evidence:"))
    )
    assert "**Mode: observe.** The service decides and records; nothing acts on its word." in document
    hold = next(line for line in document.splitlines() if line.startswith("| (all others) | hold"))
    assert hold.endswith("| 5 % |")


def test_a_policy_without_categories_says_so():
    short = "version: 1\nmodels: {m: {calibrator: 'file:c.json', evidence: score}}"
    document = specification.render(loading.parse(short))
    assert "| (all) | auto | 0.90 |" in document
    assert "a category that is not mandatory changes nothing" in document


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_every_mandatory_category_and_every_edge_is_named(data, scenarios):
    loaded = loading.parse(data.draw(scenarios).policy)
    document = specification.render(loaded)
    section = loaded.policy.models["lead-classifier"]
    mandatory = categories.ALWAYS_MANDATORY | {
        categories.normalise(name) for name, entry in section.categories.items() if entry.mandatory_review
    }
    for name in mandatory:
        assert f"* `{name}`" in document
    bands_table = document[document.index("### Bands") : document.index("### What the cut-offs")]
    rows = [line for line in bands_table.splitlines() if line.startswith("| (all")]
    assert len(rows) == len(section.bands)
    for row, band in zip(rows, section.bands, strict=True):
        assert float(row.split("|")[3]) == float(band.from_)
    always = {
        categories.normalise(name)
        for name, entry in section.categories.items()
        if entry.mandatory_review is True
    }
    cells = [line.split(" | ") for line in document.splitlines() if line.startswith("| ") and " to " in line]
    in_force = {(row[0].removeprefix("| "), row[2]) for row in cells if len(row) == 5}
    assert {name for name, _ in in_force} >= mandatory
    for name, action in in_force:
        if name in always | categories.ALWAYS_MANDATORY:
            assert action in ("HOLD_FOR_REVIEW", "ESCALATE")


FLOORS = """
version: 1
mandatory_categories: [Warranty]
models:
  lead-classifier:
    mandatory_categories: [general]
    mandatory_ranges: {refunds: [{from: 0.9, to: 1.0}]}
  another: {mandatory_categories: [whatever]}
detectors: [{name: lawyer, category: Legal Threat, fields: [body], pattern: 'attorney|lawyer', ignore_case: false}]
"""
DETECTOR = "\ndetectors: [{name: refund, category: refunds, pattern: refund}]\n"
CHAIN = """    fallback:
      - step: rules
        bands: [hold]
        rules: [{name: known_spam, when: "category == 'general'", answer: spam}]
      - step: secondary
        address: 127.0.0.1:9000
        model: second
        inputs: [{name: x, datatype: FP64, from: raw_confidence}]
        output: {meaning: json_label_and_score, name: y}
        calibrator: models:/second@champion
"""


def test_the_document_names_the_floors_and_what_they_make_mandatory():
    floors = floors_file.parse(FLOORS)
    text = specification.render(loading.parse(POLICY + DETECTOR), floors)
    lines = text.splitlines()
    assert floors.digest in text
    for line in (
        "* `warranty` (from the floors file; a policy cannot remove it)",
        "* `general` (from the floors file; a policy cannot remove it)",
        "* `contract_law`",
        "* `refunds` from 0.90 to 1.00",
        "* every model: `warranty`",
        "* model `lead-classifier`: `refunds` from 0.9 to 1.0",
        "* model `another`: `whatever`",
        "| lawyer | floors | `legal_threat` | `body` | `attorney\\|lawyer` (case as written) |",
        "| refund | policy | `refunds` | all of it | `refund` |",
        "| general | 0.995 to 1.00 | HOLD_FOR_REVIEW | ESCALATE | HOLD_FOR_REVIEW |",
    ):
        assert line in lines, line


def test_the_document_says_where_there_are_no_floors_and_no_detectors():
    text = specification.render(loading.parse(POLICY))
    assert "There is no floors file" in text
    assert "None: nothing is looked for in the context." in text


def test_the_document_says_what_the_cut_offs_imply():
    lines = specification.render(loading.parse(POLICY)).splitlines()
    told = [line for line in lines if " costs " in line and line.startswith("| (all others)")]
    assert [line.split(" | ")[1] for line in told] == ["0.995", "0.70", "0.50"]
    assert "costs 200 times as much as a flag" in told[0]
    assert "auto: AUTO_ROUTE | flagged: AUTO_ROUTE_FLAGGED" in told[0]
    assert "| `refunds` |" not in "\n".join(told), "its bands are the model's"


def test_the_document_says_what_the_chain_tries():
    policy = POLICY.replace("    categories:\n", CHAIN + "    categories:\n")
    text = specification.render(loading.parse(policy))
    assert "1. Rules in band hold; the first that matches answers:" in text
    assert "`known_spam`: where `category == 'general'`, answers `spam`" in text
    assert "no calibrator, so that it clears nothing" in text
    assert "2. Secondary model `second` at `127.0.0.1:9000`; at most 0.2 s and 50% of" in text
    assert "calibrator `models:/second@champion`" in text
    assert "3. A person" in text
    assert "4. UNCERTAIN" in text


@pytest.mark.parametrize(
    ("changes", "says", "not_says"),
    [
        ("", ["among the last 1,000, by more than 10% waits", "challenger is evaluated"], ["not measured"]),
        (
            "admission: {max_auto_shift: 0.25, recent: 50}, shadow: false",
            ["among the last 50, by more than 25% waits"],
            ["challenger is evaluated"],
        ),
        ("admission: {recent: 0}", ["is not measured"], ["waits for a person's approval"]),
        ("calibrator: 'file:x'", [], ["waits for a person's approval", "challenger is evaluated"]),
    ],
)
def test_what_newcomers_must_pass_is_said(changes: str, says: list[str], not_says: list[str]) -> None:
    calibrator = "" if "calibrator" in changes else "calibrator: 'models:/c@champion', "
    text = f"version: 1\nmodels:\n  m: {{{calibrator}evidence: score, {changes}}}\n"
    document = specification.render(loading.parse(text))
    assert [each for each in says if each not in document] == []
    assert [each for each in not_says if each in document] == []


# The review queue: who judges, and what ends by itself.

BARE = "version: 1\nmodels: {m: {calibrator: 'file:x', evidence: score}}\n"


def test_the_review_settings_are_told():
    text = specification.render(
        loading.parse(
            BARE
            + "review: {blind_share: 0.1, overlap: {HOLD: 2, AUDIT: 1}, skills: {Legal-Language: legal}, "
            "expire_after: {HOLD: 3d}}"
        )
    )
    assert "* 10 % of the tasks are blind" in text
    assert "* 2 different reviewers judge each task of kind HOLD; where they disagree" in text
    assert "kind AUDIT" not in text
    assert "* Category `legal_language` is for reviewers with the skill `legal`." in text
    assert "* A task of kind HOLD that nobody has ends undecided 3 days after its due time" in text
    assert "No task ends undecided" not in text


def test_without_settings_nothing_ends_by_itself():
    text = specification.render(loading.parse(BARE))
    assert "* No task ends undecided: it waits until somebody decides." in text
    assert "blind" not in text
