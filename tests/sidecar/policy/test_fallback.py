from typing import Any

import pydantic
import pytest
import yaml

from sidecar.policy import fallback, secondary
from sidecar.policy.actions import Action
from sidecar.policy.secondary import Datatype

ADAPTER: pydantic.TypeAdapter[tuple[fallback.Step, ...]] = pydantic.TypeAdapter(fallback.Chain)

WHOLE = """
- step: rules
  bands: [hold, reject]
  rules:
    - name: unsubscribe_words
      when: 'attributes.keyword == "unsubscribe"'
      answer: unsubscribe
      action: AUTO_ROUTE_FLAGGED
      calibrator: models:/rule-unsubscribe@champion
    - {name: large, when: "attributes.amount > 10000", answer: interested, action: ESCALATE}
- step: secondary
  bands: [hold]
  address: secondary:8001
  model: backup-classifier
  version: "3"
  inputs:
    - {name: text, datatype: BYTES, from: context.text, content_type: str}
    - {name: features, datatype: FP32, from: [attributes.amount, raw_confidence]}
    - {name: top_k, datatype: INT32, value: 3, shape: [1, 1]}
  output: {name: probabilities, meaning: probabilities}
  classes: [interested, not_now, unsubscribe]
  calibrator: models:/backup-calibrator@champion
  deadline_share: 0.4
  timeout: 150ms
  breaker: {failures: 3, open_for: 20s}
  tls: {ca: /etc/tls/ca.pem, certificate: /etc/tls/tls.crt, key: /etc/tls/tls.key}
- step: review
- step: uncertain
"""
RULE = {"name": "words", "when": 'category == "x"', "answer": "interested"}
SECONDARY: dict[str, Any] = {
    "step": "secondary",
    "address": "127.0.0.1:8001",
    "model": "backup",
    "inputs": [{"name": "text", "datatype": "BYTES", "from": "context.text"}],
    "output": {"name": "out", "meaning": "probabilities"},
}
CLASSES = ("interested", "not_now", "unsubscribe")


def load(*steps: dict[str, Any]) -> tuple[fallback.Step, ...]:
    return ADAPTER.validate_python(list(steps))


def rules(**changed: Any) -> dict[str, Any]:
    return {"step": "rules", "rules": [{**RULE, **changed}]}


def test_the_whole_section_is_read() -> None:
    chain = ADAPTER.validate_python(yaml.safe_load(WHOLE))
    first, second, *rest = chain
    assert isinstance(first, fallback.RulesStep)
    assert isinstance(second, fallback.SecondaryStep)
    assert [step.step for step in rest] == ["review", "uncertain"]
    assert first.rules[0].action is Action.AUTO_ROUTE_FLAGGED
    assert second.timeout == 0.15
    assert second.breaker == fallback.BreakerSettings(failures=3, open_for="20s")  # type: ignore[arg-type]
    assert [item.dimensions for item in second.inputs] == [(1,), (1, 2), (1, 1)]
    assert {source: step.uri for source, step in fallback.calibrators(chain).items()} == {
        "rules/unsubscribe_words": "models:/rule-unsubscribe@champion",
        "secondary": "models:/backup-calibrator@champion",
    }
    tables = fallback.compile_chain(chain)
    assert [(table.step, table.bands) for table in tables] == [
        ("rules", frozenset({"hold", "reject"})),
        ("secondary", frozenset({"hold"})),
    ]
    assert dict(tables[0].actions) == {
        "unsubscribe_words": Action.AUTO_ROUTE_FLAGGED,
        "large": Action.ESCALATE,
    }


def test_the_canonical_form_reads_back_as_the_same_chain() -> None:
    chain = ADAPTER.validate_python(yaml.safe_load(WHOLE))
    assert ADAPTER.validate_python(ADAPTER.dump_python(chain, mode="json", by_alias=True)) == chain


@pytest.mark.parametrize("steps", [[], [{"step": "review"}], [{"step": "uncertain"}]])
def test_review_and_uncertain_are_implied(steps: list[dict[str, Any]]) -> None:
    assert load(*steps) == fallback.PERSON_ONLY
    assert [step.step for step in fallback.PERSON_ONLY] == ["review", "uncertain"]
    assert fallback.compile_chain(fallback.PERSON_ONLY) == ()


@pytest.mark.parametrize(
    ("steps", "location", "complaint"),
    [
        ([SECONDARY, rules()], (), "the order is rules, secondary, review, uncertain"),
        ([{"step": "review"}, rules()], (), "the order is"),
        ([rules(), rules()], (), "a step stands twice"),
        ([{"step": "magic"}], (0,), "does not match any of the expected tags"),
        ([{"rules": []}], (0,), "Unable to extract tag"),
        ([{"step": "rules", "rules": []}], (0, "rules", "rules"), "at least 1 item"),
        ([{"step": "rules", "rules": [RULE, RULE]}], (0, "rules"), "two rules have the name 'words'"),
        ([rules(when="category == 1")], (0, "rules", "rules", 0, "when"), "no matching overload"),
        ([rules(when="tenant == 'a'")], (0, "rules", "rules", 0, "when"), "undeclared reference"),
        ([rules(when="raw_confidence")], (0, "rules", "rules", 0, "when"), "not a condition"),
        ([rules(action="UNCERTAIN")], (0, "rules", "rules", 0), "a rule cannot ask for it"),
        ([rules(action="MAYBE")], (0, "rules", "rules", 0, "action"), "Input should be"),
        ([rules(answer="")], (0, "rules", "rules", 0, "answer"), "at least 1 character"),
        ([rules(confidence=0.99)], (0, "rules", "rules", 0, "confidence"), "Extra inputs"),
        ([rules(calibrator="http://x")], (0, "rules", "rules", 0, "calibrator"), "no calibrator source"),
        ([{**rules(), "bands": []}], (0, "rules", "bands"), "at least 1 item"),
        ([{**SECONDARY, "address": "secondary"}], (0, "secondary", "address"), "HOST:PORT or unix:PATH"),
        ([{**SECONDARY, "address": "unix:"}], (0, "secondary", "address"), "HOST:PORT or unix:PATH"),
        ([{**SECONDARY, "address": "http://a:1"}], (0, "secondary", "address"), "HOST:PORT or unix:PATH"),
        ([{**SECONDARY, "address": "a:70000"}], (0, "secondary", "address"), "HOST:PORT or unix:PATH"),
        ([{**SECONDARY, "timeout": "200"}], (0, "secondary", "timeout"), "a number and a unit"),
        ([{**SECONDARY, "timeout": "1ms"}], (0, "secondary", "timeout"), "between 5ms and 30s"),
        ([{**SECONDARY, "timeout": "1h"}], (0, "secondary", "timeout"), "between 5ms and 30s"),
        ([{**SECONDARY, "deadline_share": 0.0}], (0, "secondary", "deadline_share"), "above 0, at most 1"),
        ([{**SECONDARY, "deadline_share": 1.5}], (0, "secondary", "deadline_share"), "above 0, at most 1"),
        ([{**SECONDARY, "inputs": []}], (0, "secondary", "inputs"), "at least 1 item"),
        ([{**SECONDARY, "inputs": SECONDARY["inputs"] * 2}], (0, "secondary"), "two inputs have the name"),
        ([{**SECONDARY, "classes": ["a", "a"]}], (0, "secondary"), "a name stands twice"),
        ([{**SECONDARY, "output": {"name": "x", "meaning": "guess"}}], (0, "secondary", "output"), "tags"),
        (
            [{**SECONDARY, "output": {"meaning": "label_and_score", "name": "x"}}],
            (0, "secondary"),
            "required",
        ),
        (
            [{**SECONDARY, "tls": {"key": "k.pem"}}],
            (0, "secondary", "tls"),
            "certificate and key go together",
        ),
        ([{**SECONDARY, "breaker": {"failures": 0}}], (0, "secondary", "breaker"), "greater than or equal"),
    ],
)
def test_a_mistake_is_named_by_its_key(
    steps: list[dict[str, Any]], location: tuple[str | int, ...], complaint: str
) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        load(*steps)
    mistakes = [item for item in caught.value.errors() if complaint in item["msg"]]
    assert mistakes, caught.value.errors()
    assert mistakes[0]["loc"][: len(location)] == location


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({}, "either `from` or `value`"),
        ({"from": "context.text", "value": "x"}, "either `from` or `value`"),
        ({"from": "text"}, "no source"),
        ({"from": "attributes."}, "no source"),
        ({"from": ["context.a", "tenant"]}, "no source"),
        ({"from": ["context.a", "context.b"], "shape": [3]}, "does not hold 2 elements"),
        ({"from": "context.text", "shape": [0]}, "greater than or equal to 1"),
        ({"value": 1}, "no BYTES"),
        ({"value": "x", "datatype": "FP64"}, "no FP64"),
        ({"value": True, "datatype": "INT32"}, "no INT32"),
        ({"value": 1.5, "datatype": "INT64"}, "no INT64"),
        ({"value": 300, "datatype": "UINT8"}, "no UINT8"),
        ({"value": [1, -1], "datatype": "UINT64"}, "no UINT64"),
        ({"value": 1e39, "datatype": "FP32"}, "no FP32"),
        ({"value": float("nan"), "datatype": "FP64"}, "no FP64"),
        ({"value": 1, "datatype": "FP16"}, "Input should be"),
    ],
)
def test_an_input_that_cannot_be_fed_is_refused(entry: dict[str, Any], complaint: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        load({**SECONDARY, "inputs": [{"name": "text", "datatype": "BYTES", **entry}]})
    assert any(complaint in item["msg"] for item in caught.value.errors()), caught.value.errors()


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [
        ("a", "BYTES", "a"),
        (True, "BOOL", True),
        (3.0, "INT8", 3),
        (-128, "INT8", -128),
        (2**63 - 1, "INT64", 2**63 - 1),
        (2**64 - 1, "UINT64", 2**64 - 1),
        (2, "FP32", 2.0),
    ],
)
def test_elements(value: secondary.Scalar, datatype: Datatype, expected: object) -> None:
    result = secondary.element(value, datatype)
    assert result == expected
    assert type(result) is type(expected)


def fit(chain: tuple[fallback.Step, ...], classes: tuple[str, ...] = CLASSES) -> None:
    fallback.require_fit(
        chain,
        automatic=frozenset({"auto", "flagged"}),
        other=frozenset({"hold", "reject"}),
        classes=classes,
    )


def test_a_chain_that_fits_its_model() -> None:
    fit(ADAPTER.validate_python(yaml.safe_load(WHOLE)))
    fit(load(rules(answer="whatever")), classes=())
    fit(load({**SECONDARY, "output": {"meaning": "label_and_score", "label": "a", "score": "b"}}), classes=())
    fit(load({**SECONDARY, "classes": ["not_now", "interested"]}))
    positive = {"name": "p", "meaning": "positive_probability", "positive_class": "not_now"}
    fit(load({**SECONDARY, "classes": ["interested", "not_now"], "output": positive}))


@pytest.mark.parametrize(
    ("step", "classes", "complaint"),
    [
        ({**rules(), "bands": ["auto"]}, CLASSES, "names band 'auto', which acts by itself"),
        ({**SECONDARY, "bands": ["hold", "middle"]}, CLASSES, "names band 'middle', which does not exist"),
        (rules(answer="refund"), CLASSES, "rule words answers 'refund', which is none of the classes"),
        (SECONDARY, (), "needs classes"),
        ({**SECONDARY, "output": {"name": "x", "meaning": "logits"}}, ("one",), "needs classes"),
        (
            {**SECONDARY, "classes": ["interested", "refund"]},
            CLASSES,
            "'refund' is none of the model's classes",
        ),
        (
            {
                **SECONDARY,
                "output": {"name": "p", "meaning": "positive_probability", "positive_class": "not_now"},
            },
            CLASSES,
            "needs two classes",
        ),
        (
            {**SECONDARY, "output": {"name": "p", "meaning": "positive_probability", "positive_class": "z"}},
            ("x", "y"),
            "the positive one among them",
        ),
    ],
)
def test_a_chain_that_does_not_fit_its_model(
    step: dict[str, Any], classes: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(ValueError, match="fallback") as caught:
        fit(load(step), classes)
    assert complaint in str(caught.value)
