"""A policy file says what it means, or is refused by the name of the key that is wrong."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar import errors
from sidecar.policy import loading
from sidecar.policy.tables import compile_policy

GOOD = {
    "version": 1,
    "models": {"m": {"calibrator": "models:/c@champion", "evidence": "score"}},
}
BAND = {"name": "a", "from": 0.5, "action": "AUTO_ROUTE"}
REST = {"name": "b", "from": 0.0, "action": "REJECT"}


def with_model(**changes):
    """A good policy, as JSON, with other values in its model; None takes a key away."""
    section = GOOD["models"]["m"] | changes
    section = {key: value for key, value in section.items() if value is not None}
    return json.dumps(GOOD | {"models": {"m": section}})


def with_file(**changes):
    return json.dumps(GOOD | changes)


def category(**entry):
    return with_model(categories={"refunds": entry})


# (what the file says, the key that the message must name, the words that must be in it)
MISTAKES = [
    # The file as a whole.
    ("", "policy", "must be a mapping"),
    ("[]", "policy", "must be a mapping"),
    ("just words", "policy", "must be a mapping"),
    ("\tversion: 1", "policy", "not YAML"),
    ("version: 1\x00", "policy", "not YAML"),
    ("[" * 5000, "policy", "not YAML"),
    ("version: 1\nversion: 1\nmodels: {}", "'version'", "stands twice"),
    ('{"version": 1, "models": {}, "models": {}}', "'models'", "stands twice"),
    ("models: {m: {evidence: score, evidence: logits}}", "'evidence'", "stands twice"),
    ("version: 1\nmodels: {m: {criterion: 2024-13-45}}", "models.m.calibrator", "is required"),
    ("version: 1\nmodels: {m: {criterion: !!bool maybe}}", "policy", "cannot be read"),
    ("version: 1\nmodels: {m: {criterion: !!timestamp soon}}", "policy", "cannot be read"),
    ("version: " + "9" * 5000, "policy", "cannot be read"),
    ("version: 1\nmodels: !!python/object/apply:os.system [ls]", "policy", "not YAML"),
    ("#" * (1 << 20) + "\n", "policy", "1 MiB"),
    (with_file(version=2), "version", "must be 1"),
    (with_file(version="1"), "version", "must be 1"),
    (with_file(version=True), "version", "must be 1"),
    ('{"models": {}}', "version", "is required"),
    ('{"version": 1}', "models", "is required"),
    (with_file(models={}), "models", "at least 1"),
    (with_file(modles={}), "modles", "no such key"),
    (with_file(models={"a b": GOOD["models"]["m"]}), "'a b'", "is no model name"),
    (with_file(models={"m": None}), "models.m", "must be a mapping"),
    ("version: 1\nmodels: {8: {}}", "the name 8 is read", "in quotes"),
    (with_file(label_window="ten days"), "label_window", "such as 200ms, 30s, 10m, 24h or 7d"),
    (with_file(label_window=3600), "label_window", "a number and a unit"),
    (with_file(label_window="36501d"), "label_window", "at most 36500d"),
    (with_file(label_window="9" * 400 + "d"), "label_window", "at most 36500d"),
    (with_file(label_window="-1h"), "label_window", "a number and a unit"),
    (with_file(idempotency={"entries": -1}), "idempotency.entries", "greater than or equal to 0"),
    (with_file(idempotency={"entries": 1.5}), "idempotency.entries", "valid integer"),
    (with_file(review={"time_zone": "Europe/Bärlin"}), "review.time_zone", "Europe/Berlin"),
    (with_file(review={"time_zone": "../../etc/passwd"}), "review.time_zone", "no IANA time zone"),
    (with_file(review={"time_zone": 5}), "review.time_zone", "must be text"),
    (with_file(review={"time_zone": ["UTC"]}), "review.time_zone", "must be text"),
    (with_file(review={"max_backlog_age": None}), "review.max_backlog_age", "a number and a unit"),
    # A model.
    (with_model(calibrator=None), "models.m.calibrator", "is required"),
    (with_model(evidence=None), "models.m.evidence", "is required"),
    (with_model(calibrator="models:/c"), "models.m.calibrator", "models:/NAME@champion"),
    (with_model(calibrator="s3://bucket/cal.json"), "models.m.calibrator", "is no calibrator source"),
    (with_model(calibrator="models:/c/0"), "models.m.calibrator", "is no calibrator source"),
    (with_model(versions={"v8": "cal.json"}), "models.m.versions.v8", "is no calibrator source"),
    (with_model(versions={"": "models:/c/3"}), "models.m.versions", "at least 1 character"),
    (with_model(model_version=""), "models.m.model_version", "at least 1 character"),
    (with_model(model_version=8), "models.m.model_version", "in quotes"),
    (with_model(evidence="scores"), "models.m.evidence", "'score'"),
    (with_model(mode="dry-run"), "models.m.mode", "'observe'"),
    (with_model(criterion=""), "models.m.criterion", "at least 1 character"),
    (with_model(evidence="logits"), "models.m", "needs classes"),
    (with_model(evidence="probabilities", classes=["one"]), "models.m", "needs classes"),
    (with_model(evidence="logits", classes=["a", "a"]), "models.m", "stands twice"),
    (with_model(evidence="logits", classes=["a", ""]), "models.m.classes.1", "at least 1 character"),
    (with_model(evidence="logits", classes=[0, 1]), "models.m.classes.0", "in quotes"),
    (with_model(evidence="logits", classes="ab"), "models.m.classes", "must be a list"),
    (with_model(evidence="positive_probability", classes=["a", "b", "c"]), "models.m", "needs two classes"),
    (with_model(aggregation="mean"), "models.m", "token_logprobs only"),
    (with_model(evidence="token_logprobs", aggregation="none"), "models.m", "mean, min or sum"),
    (with_model(evidence="token_logprobs", aggregation="max"), "models.m.aggregation", "'min'"),
    (with_model(unknown_category="AUTO_ROUTE"), "models.m.unknown_category", "to a person"),
    (with_model(unknown_category="REJECT"), "models.m.unknown_category", "to a person"),
    (with_model(unknown_category=["HOLD_FOR_REVIEW"]), "models.m.unknown_category", "to a person"),
    (with_model(stale={"action": "AUTO_ROUTE"}), "models.m.stale.action", "to a person"),
    (with_model(stale={"after": "soon"}), "models.m.stale.after", "a number and a unit"),
    (with_model(expires_after="1w"), "models.m.expires_after", "a number and a unit"),
    # Bands.
    (with_model(bands=[]), "models.m.bands", "at least one band"),
    (with_model(bands=5), "models.m.bands", "must be a list"),
    (with_model(bands=[BAND]), "models.m.bands", "from 0 to 0.5 have no band"),
    (with_model(bands=[BAND, REST | {"name": "a"}]), "models.m.bands", "same name"),
    (with_model(bands=[BAND, REST, BAND | {"name": "c"}]), "models.m.bands", "both start at 0.5"),
    (
        with_model(bands=[BAND | {"action": "REJECT"}, REST | {"action": "AUTO_ROUTE"}]),
        "models.m.bands",
        "must not be treated worse",
    ),
    (with_model(bands=[BAND | {"from": 1}, REST]), "models.m.bands", "never gets there"),
    (with_model(bands=[BAND | {"from": 0.9999999999999}, REST]), "models.m.bands", "never gets there"),
    (with_model(bands=[BAND | {"from": 1e-13}, REST]), "models.m.bands", "never below that"),
    (with_model(bands=[BAND | {"from": 1.5}, REST]), "models.m.bands.0.from", "less than or equal to 1"),
    (with_model(bands=[BAND | {"from": -0.1}, REST]), "models.m.bands.0.from", "greater than or equal to 0"),
    (with_model(bands=[BAND | {"from": "0.9"}, REST]), "models.m.bands.0.from", "must be a number"),
    (with_model(bands=[BAND | {"from": True}, REST]), "models.m.bands.0.from", "must be a number"),
    (with_model(bands=[BAND | {"from": float("nan")}, REST]), "models.m.bands.0.from", "finite"),
    (with_model(bands=[BAND | {"from": float("inf")}, REST]), "models.m.bands.0.from", "finite"),
    (with_model(bands=[BAND | {"from_": 0.5}, REST]), "models.m.bands.0.from_", "no such key"),
    (with_model(bands=[BAND | {"action": "AUTO"}, REST]), "models.m.bands.0.action", "'AUTO_ROUTE'"),
    (with_model(bands=[BAND | {"action": "UNCERTAIN"}, REST]), "models.m.bands.0", "cannot ask for it"),
    (with_model(bands=[BAND | {"review": "next_day"}, REST]), "models.m.bands.0", "AUTO_ROUTE_FLAGGED only"),
    (with_model(bands=[BAND | {"audit_rate": 1.01}, REST]), "models.m.bands.0.audit_rate", "equal to 1"),
    (with_model(bands=[BAND | {"audit_rate": "5%"}, REST]), "models.m.bands.0.audit_rate", "valid number"),
    (with_model(bands=[BAND | {"name": "Auto Band"}, REST]), "models.m.bands.0.name", "pattern"),
    # Categories.
    (with_model(categories=["refunds"]), "models.m.categories", "must be a mapping"),
    ("version: 1\nmodels: {m: {categories: {yes: {}}}}", "the name yes is read", "in quotes"),
    (with_model(categories={"refunds": None}), "models.m.categories.refunds", "must be a mapping"),
    (with_model(categories={" ": {}}), "models.m", "is no name"),
    (with_model(categories={"re\u200bfunds": {}}), "models.m", "cannot be seen"),
    (with_model(categories={"Re-funds": {}, "re funds": {}}), "models.m", "the same after normalising"),
    (with_model(categories={"Pricing": {}}), "models.m", "categories.Pricing: always needs a person"),
    (
        with_model(categories={"legal-language": {"mandatory_review": False}}),
        "models.m",
        "categories.legal-language: always needs a person",
    ),
    (
        with_model(categories={"pricing": {"mandatory_review": [{"from": 0, "to": 0.5}]}}),
        "models.m",
        "categories.pricing: always needs a person",
    ),
    (category(mandatory="yes"), "models.m.categories.refunds.mandatory", "no such key"),
    (category(mandatory_review="yes"), "models.m.categories.refunds.mandatory_review", "boolean"),
    (category(mandatory_review=[]), "models.m.categories.refunds.mandatory_review", "at least 1 item"),
    (
        category(mandatory_review=[{"from": 0.6, "to": 0.6}]),
        "models.m.categories.refunds.mandatory_review.0",
        "from must be below to",
    ),
    (
        category(mandatory_review=[{"from": 0.6}]),
        "models.m.categories.refunds.mandatory_review.0.to",
        "is required",
    ),
    (category(bands=[BAND]), "models.m.categories.refunds.bands", "have no band"),
    (category(audit_rate=-0.1), "models.m.categories.refunds.audit_rate", "greater than or equal to 0"),
]


@pytest.mark.parametrize(
    ("text", "key", "words"), MISTAKES, ids=[f"{key}-{words}" for _, key, words in MISTAKES]
)
def test_a_mistake_is_named_by_its_key(text, key, words):
    with pytest.raises(errors.PolicyRefused) as caught:
        loading.parse(text)
    message = str(caught.value)
    assert key in message
    assert words in message
    assert message.startswith("policy:")
    assert len(message) < 5000


def test_every_mistake_is_named_at_once():
    with pytest.raises(errors.PolicyRefused) as caught:
        loading.parse(with_model(mode="x", expires_after="x", stale={"action": "x"}), name="prod.yaml")
    lines = str(caught.value).splitlines()
    assert lines[0] == "prod.yaml:"
    assert {line.split(":")[0].strip() for line in lines[1:]} == {
        "models.m.mode",
        "models.m.expires_after",
        "models.m.stale.action",
    }


BASE = """
version: 1
models:
  lead-classifier:
    calibrator: models:/c@champion
    evidence: score
    bands:
      - {name: auto, from: 0.9, action: AUTO_ROUTE}
      - {name: rest, from: 0, action: HOLD_FOR_REVIEW}
    categories:
      general: {}
      refunds: {audit_rate: 0.001}
"""
SAME = {
    "comments": "# a comment\n" + BASE.replace("evidence: score", "evidence: score  # why"),
    "order of keys": """
models:
  lead-classifier:
    categories: {refunds: {audit_rate: 1e-3}, general: {}}
    evidence: score
    bands:
      - {action: HOLD_FOR_REVIEW, from: 0.00, name: rest}
      - {from: 0.90, name: auto, action: AUTO_ROUTE}
    calibrator: models:/c@champion
version: 1
""",
    "defaults written out": BASE + "label_window: 90d\nidempotency: {age: 60m, entries: 100000}\n",
    "anchors": BASE.replace(
        "{name: auto, from: 0.9, action: AUTO_ROUTE}", "&top {name: auto, from: 0.9, action: AUTO_ROUTE}"
    ),
    "merge keys": BASE.replace("general: {}", "general: &plain {}").replace(
        "refunds: {audit_rate: 0.001}", "refunds: {<<: *plain, audit_rate: 0.001}"
    ),
}
OTHER = {
    "an edge": BASE.replace("0.9,", "0.9000000000000001,"),
    "an action": BASE.replace("AUTO_ROUTE}", "AUTO_ROUTE_FLAGGED}"),
    "a rate": BASE.replace("0.001", "0.0010000000000000002"),
    "a category": BASE.replace("general: {}", "general: {}\n      sales: {}"),
    "the mode": BASE + "    mode: observe\n",
    "the window": BASE + "label_window: 90.00000000000001d\n",
    "the model": BASE.replace("lead-classifier", "lead-classifier-2"),
}


@pytest.mark.parametrize("what", SAME)
def test_the_digest_does_not_see_how_a_policy_is_written(what):
    assert loading.parse(SAME[what]).digest == loading.parse(BASE).digest


@pytest.mark.parametrize("what", OTHER)
def test_the_digest_sees_every_change_of_meaning(what):
    assert loading.parse(OTHER[what]).digest != loading.parse(BASE).digest


ODD = {
    "tiny numbers": with_model(
        bands=[BAND | {"from": 1e-05, "audit_rate": 1e-07}, REST], expires_after="0.00001s"
    ),
    "durations beside a double": with_model(expires_after="1.1d", stale={"after": "0.7m"}),
    "characters beyond the first plane": with_model(
        categories={"🚀 launch": {}, "größe": {}}, classes=["🎉", "\u2028", "\x7f"], criterion="“quoted”\\"
    ),
    "whole numbers": category(mandatory_review=[{"from": 0, "to": 1}], audit_rate=1),
    "the longest time": with_file(label_window="36500d"),
}


@pytest.mark.parametrize("what", ODD)
def test_the_canonical_text_means_the_same_policy(what):
    loaded = loading.parse(ODD[what])
    again = loading.parse(loaded.canonical)
    assert again.digest == loaded.digest
    assert again.canonical == loaded.canonical
    assert compile_policy(again.policy) == compile_policy(loaded.policy)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_the_canonical_text_of_any_policy_means_the_same(data, scenarios):
    loaded = loading.parse(data.draw(scenarios).policy)
    again = loading.parse(loaded.canonical)
    assert again == loaded
    assert compile_policy(again.policy) == compile_policy(loaded.policy)


def test_a_duration_is_the_decimal_that_was_written():
    policy = loading.parse(with_model(expires_after="1.1d", stale={"after": "200ms"})).policy
    assert policy.models["m"].expires_after == 95040.0
    assert policy.models["m"].stale.after == 0.2


def test_a_file_that_cannot_be_read_is_refused_by_its_path(tmp_path):
    missing = tmp_path / "policy.yaml"
    with pytest.raises(errors.PolicyRefused, match=r"policy\.yaml"):
        loading.read(missing)
    missing.write_bytes(b"version: \xff\xfe")
    with pytest.raises(errors.PolicyRefused, match="UTF-8"):
        loading.read(missing)
    with pytest.raises(errors.PolicyRefused, match="cannot be read"):
        loading.read(tmp_path)
    missing.write_text("\ufeff" + BASE, encoding="utf-8")
    assert loading.read(missing).digest == loading.parse(BASE).digest


def _nested(levels: int) -> str:
    lines = ["a0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


LARGE = {
    "aliases of aliases in a text": f"{_nested(8)}\nversion: 1\nmodels: {{m: {{calibrator: *l6, evidence: score}}}}",
    "aliases of aliases as models": f"{_nested(8)}\nversion: 1\nmodels: *l7",
    "aliases that are merged": "a: &a {b: 1}\n"
    + "\n".join(
        f"a{n}: &a{n} {{<<: [{', '.join(['*a' + (str(n - 1) if n else '')] * 10)}]}}" for n in range(9)
    ),
    "a long text again and again": f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 5000)}]",
    "an alias within what it names": "a: &a [*a]",
    "more models than anybody has": "version: 1\nmodels:\n"
    + "\n".join(f"  m{n}: {{calibrator: 'file:x', evidence: score}}" for n in range(20_000)),
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_what_says_too_much_is_refused_before_it_is_built(text: str) -> None:
    with pytest.raises(errors.PolicyRefused, match=r"written out|within what it names") as refused:
        loading.parse(text)
    assert len(str(refused.value)) < 200


def test_aliases_that_say_little_are_taken() -> None:
    text = "version: 1\nmodels:\n  a: &m {calibrator: 'file:x', evidence: score}\n  b: *m\n  c: {<<: *m, mode: observe}"
    assert list(loading.parse(text).policy.models) == ["a", "b", "c"]


def test_a_wrong_value_is_cut_before_it_is_shown() -> None:
    text = f"version: 1\nmodels: {{m: {{calibrator: [{', '.join(['long' * 50] * 2000)}], evidence: score}}}}"
    with pytest.raises(errors.PolicyRefused, match="put it in quotes") as refused:
        loading.parse(text)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("name", ["on", "no", "Yes", "null", "~", "8", "1.5", "2027-03-31"])
@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nmodels:\n  {name}: {{calibrator: 'file:x', evidence: score}}",
        "version: 1\nmodels:\n  m: {{calibrator: 'file:x', evidence: score, categories: {{{name}: {{}}}}}}",
    ],
    ids=["model", "category"],
)
def test_a_name_that_yaml_takes_for_something_else_is_shown_as_it_was_written(text: str, name: str) -> None:
    with pytest.raises(errors.PolicyRefused) as refused:
        loading.parse(text.format(name=name))
    assert f"line 3: the name {name} is read as " in str(refused.value)
    assert f'put it in quotes: "{name}"' in str(refused.value)


def test_a_date_that_is_none_is_named_by_its_key() -> None:
    bands = "[{name: a, from: 0, action: HOLD_FOR_REVIEW, promise: {accuracy: 0.9, by: 2027-13-31}}]"
    text = f"version: 1\nmodels: {{m: {{calibrator: 'file:x', evidence: score, bands: {bands}}}}}"
    with pytest.raises(errors.PolicyRefused, match=r"models\.m\.bands\.0\.promise\.by: a date is written"):
        loading.parse(text)
