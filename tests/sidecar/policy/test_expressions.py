import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy import expressions
from sidecar.policy.expressions import EvaluationFailed, rule_language

VALUES: dict[str, expressions.Value] = {
    "category": "refunds",
    "predicted_class": "interested",
    "raw_confidence": 0.7,
    "calibrated_confidence": 0.62,
    "attributes": {"keyword": "unsubscribe", "amount": 50.0, "vip": True},
}


def evaluate(text: str, **changed: expressions.Value) -> bool:
    language = rule_language()
    return language.compile(text).evaluate(language.bind({**VALUES, **changed}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('attributes.keyword == "unsubscribe"', True),
        ('attributes["keyword"] == "other"', False),
        ("attributes.amount < 100", True),
        ("attributes.amount < 49.5", False),
        ("attributes.vip == true", True),
        ("has(attributes.missing)", False),
        ('has(attributes.missing) && attributes.missing == "x"', False),
        ('category in ["refunds", "general"]', True),
        ('predicted_class.startsWith("inter")', True),
        ('predicted_class.matches("^inter(ested)?$")', True),
        ("raw_confidence > 0.5 && calibrated_confidence < 0.7", True),
        ("raw_confidence - calibrated_confidence > 0.05", True),
        ("size(category) == 7", True),
        ("!(raw_confidence > 0.9)", True),
    ],
)
def test_conditions(text: str, expected: bool) -> None:
    assert evaluate(text) is expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("category == 1", "no matching overload"),
        ("raw_confidence > 1", "no matching overload"),
        ('category + 1 == "a"', "no matching overload"),
        ("tenant == 'x'", "undeclared reference to 'tenant'"),
        ("now() > 1", "undeclared reference to 'now'"),
        ("category", "not a condition"),
        ("attributes.vip", "not a condition"),
        ("raw_confidence", "not a condition"),
        ("", "no condition"),
        ("category ==", "no condition"),
        ('category == "' + "a" * 2000 + '"', "at most 2,000 characters"),
        ("(" * 40 + "true" + ")" * 40, "no condition"),
        ('attributes.all(k, k == "a")', "undeclared reference to 'k'"),
        ("[1, 2].exists(x, x > 1)", "undeclared reference to 'x'"),
        ("[1, 2].map(x, x) == [1]", "undeclared reference to 'x'"),
    ],
)
def test_what_is_no_condition_is_refused_when_it_is_compiled(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="condition") as caught:
        rule_language().compile(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        'category.matches("(")',
        'matches(category, "(")',
        'has(attributes.x) && dyn(category.matches("(")) == true',
        'category.matches("a") ? category.matches("(") : false',
        '[category.matches("(")] == [true]',
        '{category.matches("("): 1} == {true: 1}',
        '{"a": category.matches("(")} == {"a": true}',
        'dyn({"a": category.matches("(")}).a == true',
        'category.matches("(?=a)")',
        'category.matches("(a{1,30}){1,33}")',
        " || ".join(['category.matches("a{600}")'] * 2),
        "category.matches(attributes.pattern)",
        "category.matches(predicted_class)",
        'category.matches("a" + "b")',
    ],
)
def test_a_pattern_is_a_bounded_literal_wherever_it_stands(text: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        rule_language().compile(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('attributes.missing == "x"', "VALUE_MISSING"),
        ("attributes.keyword < 3", "EVALUATION_ERROR"),
        ("attributes.vip > 1.0", "EVALUATION_ERROR"),
        ("1 / 0 == 1", "EVALUATION_ERROR"),
        ("attributes.keyword ? true : false", "EVALUATION_ERROR"),
        ("attributes.keyword && true", "EVALUATION_ERROR"),
    ],
)
def test_a_condition_without_a_truth_value_fails_with_a_code(text: str, code: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        evaluate(text)
    assert caught.value.code == code


def test_an_absent_confidence_fails_whatever_needs_it_and_nothing_else() -> None:
    with pytest.raises(EvaluationFailed) as caught:
        evaluate("calibrated_confidence > 0.1", calibrated_confidence=None)
    assert caught.value.code == "VALUE_MISSING"
    assert evaluate('category == "refunds" || calibrated_confidence > 0.1', calibrated_confidence=None)
    assert evaluate('category == "refunds"', calibrated_confidence=None)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"category": "x" * 65_537}, "INPUT_TOO_LARGE"),
        ({"attributes": {f"k{i}": "v" * 1100 for i in range(60)}}, "INPUT_TOO_LARGE"),
        ({"raw_confidence": "0.7"}, "EVALUATION_ERROR"),
        ({"category": "\ud800"}, "EVALUATION_ERROR"),
    ],
)
def test_values_that_cannot_be_bound(changed: dict[str, expressions.Value], code: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        evaluate('category == "x" || raw_confidence > 0.1', **changed)
    assert caught.value.code == code


def test_a_value_that_is_not_a_number_is_never_above_anything() -> None:
    assert evaluate("raw_confidence > 0.0", raw_confidence=float("nan")) is False


def test_a_value_does_not_become_part_of_the_condition() -> None:
    assert evaluate('category == "refunds"', category='refunds" || true || "') is False


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=8),
        st.one_of(
            st.text(st.characters(codec="utf-8"), max_size=20),
            st.floats(allow_nan=False, allow_infinity=False),
            st.booleans(),
        ),
        max_size=8,
    ),
    st.sampled_from(
        [
            'has(attributes.a) && attributes.a == "x"',
            'attributes.a == "x"',
            "attributes.a < 3",
            'attributes.a.matches("^a+$")',
            '"a" in attributes',
        ]
    ),
)
def test_any_attributes_give_a_truth_value_or_a_failure(
    attributes: dict[str, str | float | bool], text: str
) -> None:
    result: bool | str
    try:
        result = evaluate(text, attributes=attributes)
    except EvaluationFailed as error:
        result = error.code
    assert result in (True, False, "VALUE_MISSING", "EVALUATION_ERROR")
    assert result is not True or "a" in attributes
    assert result != "VALUE_MISSING" or "a" not in attributes


@pytest.mark.parametrize(
    "text",
    [
        "attributes.count + 1 > 3",
        "1 + attributes.count > 3",
        "attributes['count'] * 2 >= 6",
        "category == 'a' && (attributes.count - attributes.other) * 2 > 1",
        "attributes.count % 2 == 1",
    ],
)
def test_an_integer_beside_an_attribute_is_named_when_the_policy_loads(text):
    with pytest.raises(ValueError, match=r"write 1\.0, not 1"):
        expressions.rule_language().compile(text)


@pytest.mark.parametrize(
    "text", ["attributes.count + 1.0 > 3.0", "size(category) + 1 > 3", "attributes.count > 3", "1 + 2 > 3"]
)
def test_numbers_that_go_together_are_let_in(text):
    expressions.rule_language().compile(text)
