"""The document: what it looks like, and each way in which one is refused."""

import hashlib
import json
import math
import subprocess
import sys

import pytest

import calibrators
from calibrators import (
    AppliesTo,
    Calibrator,
    CalibratorRefused,
    Constant,
    Fit,
    Isotonic,
    LowerCurve,
    Platt,
    ScoreHistogram,
    Temperature,
    VectorTemperature,
    document,
)

FULL = Calibrator(
    Isotonic((0.25, 0.5, 0.75), (0.125, 0.5, 0.875)),
    epsilon=2.0**-20,
    applies_to=AppliesTo(
        model="lead-classifier",
        model_versions=("v7", "v8"),
        evidence="token_logprobs",
        aggregation="min",
        answer="argmax",
        criterion="acceptable",
    ),
    fit=Fit(
        n=4000,
        n_effective=812.5,
        positives=0.875,
        distinct=3,
        window_from="2025-02-01T00:00:00Z",
        window_to="2025-03-01T12:30:00+01:00",
        data_digest="sha256:00",
        note="fitted with Zürich's labels",
    ),
    histogram=ScoreHistogram(edges=(0.0, 0.5, 1.0), shares=(0.25, 0.75)),
)

# Knots and offset for which no logarithm matters: any machine computes the same.
LATER = Calibrator(
    Isotonic((0.25, 0.5, 0.75), (0.125, 0.5, 0.875)),
    epsilon=2.0**-20,
    lower=LowerCurve(level=0.95, method="bootstrap", confidences=(0.25, 0.75), bounds=(0.125, 0.625)),
)
SHIFTED = Calibrator(Platt(1.5, -0.25), category_offsets={"refunds": -0.75, "größe": 0.5}, lower=LATER.lower)


def signed(value):
    """The document with the digest that fits it, as somebody who knows the rules would write it."""
    body = {key: part for key, part in value.items() if key != "digest"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return {**body, "digest": "sha256:" + hashlib.sha256(text.encode()).hexdigest()}


def edited(calibrator, path, replacement, *, sign=True):
    value = json.loads(calibrators.dumps(calibrator))
    *parents, last = path
    part = value
    for key in parents:
        part = part[key]
    if replacement is REMOVED:
        del part[last]
    else:
        part[last] = replacement
    return json.dumps(signed(value) if sign else value)


REMOVED = object()
PLATT = Calibrator(Platt(1.5, -0.25))
VECTOR = Calibrator(VectorTemperature(1.5))
CONSTANT = Calibrator(Constant(0.75))


def refusal(text):
    with pytest.raises(CalibratorRefused) as refused:
        calibrators.loads(text)
    return refused.value.code, str(refused.value)


def test_a_full_document_comes_back_bit_for_bit():
    text = calibrators.dumps(FULL)
    loaded = calibrators.loads(text)
    assert loaded == FULL
    assert calibrators.dumps(loaded) == text
    assert calibrators.loads(text.encode()).digest == FULL.digest


def test_the_order_of_keys_and_the_spaces_do_not_matter():
    shuffled = dict(reversed(json.loads(calibrators.dumps(FULL)).items()))
    assert calibrators.loads(json.dumps(shuffled, indent=7)) == FULL


def test_the_first_schema_never_changes():
    # Anyone's stored documents carry digests of this form; these outputs need no logarithm, so any machine
    # computes the same.
    assert FULL.digest == "sha256:639c0683ad920f53b3ee56b90e12bd39ca9c6bd81432560fb5cb74a7d003fa1d"
    assert list(json.loads(calibrators.dumps(FULL))) == [
        *(
            "schema",
            "kind",
            "parameters",
            "epsilon",
            "applies_to",
            "fit",
            "score_histogram",
            "golden",
            "digest",
        )
    ]


def test_what_needs_the_second_schema_has_its_own_digest_and_keys():
    assert LATER.digest == "sha256:219cf9537a850dd36b87d48d748c5e5f3f4a4c6098e6c2e2645c2b5463206940"
    value = json.loads(calibrators.dumps(LATER))
    assert value["schema"] == 2
    assert list(value)[6:] == ["score_histogram", "category_offsets", "lower", "golden", "digest"]
    assert value["category_offsets"] == {}
    assert value["golden"]["categories"] == [""] * len(value["golden"]["inputs"])
    assert len(value["golden"]["bounds"]) == len(value["golden"]["outputs"])


@pytest.mark.parametrize(
    "calibrator",
    [
        LATER,
        SHIFTED,
        Calibrator(Platt(1.5, -0.25), category_offsets={"refunds": 1e-300}),
        Calibrator(
            VectorTemperature(1.5), category_offsets={"a": 4.0, "b": -4.0, "c": 0.5}, lower=LATER.lower
        ),
    ],
    ids=["lower", "both", "offsets", "vectors"],
)
def test_the_second_schema_comes_back_bit_for_bit(calibrator):
    text = calibrators.dumps(calibrator)
    loaded = calibrators.loads(text)
    assert json.loads(text)["schema"] == loaded.schema == 2
    assert loaded == calibrator
    assert loaded.digest == calibrator.digest
    assert calibrators.dumps(loaded) == text
    assert dict(loaded.category_offsets) == dict(calibrator.category_offsets)


def test_the_golden_vector_covers_the_furthest_offsets_and_the_bounds():
    golden = Calibrator(
        Platt(1.5, -0.25), category_offsets={"a": 4.0, "b": -4.0, "c": 0.5}, lower=LATER.lower
    ).golden
    assert dict.fromkeys(golden.categories) == {"": None, "a": None, "b": None}
    assert len(golden.outputs) == len(golden.bounds) == 3 * len(dict.fromkeys(golden.inputs))
    for category in ("", "a", "b"):
        position = golden.categories.index(category) + 10
        assert golden.outputs[position] == SHIFTED_ALONE.apply_one(golden.inputs[position], category)


SHIFTED_ALONE = Calibrator(Platt(1.5, -0.25), category_offsets={"a": 4.0, "b": -4.0})


def test_offsets_have_one_digest_whatever_their_order_and_without_those_that_say_nothing():
    one = Calibrator(Platt(1.5, -0.25), category_offsets={"b": 1.0, "a": -1.0})
    other = Calibrator(Platt(1.5, -0.25), category_offsets={"a": -1.0, "c": 0.0, "b": 1.0})
    assert one == other
    assert one.digest == other.digest != PLATT.digest
    assert Calibrator(Platt(1.5, -0.25), category_offsets={"a": 0.0}).digest == PLATT.digest
    assert hash(one) == hash(other)


def test_the_digest_covers_every_part():
    digests = {FULL.digest}
    for path, replacement in [
        (("parameters", "y"), [0.125, 0.5, 0.75]),
        (("epsilon",), 1e-6),
        (("applies_to", "model"), "other"),
        (("applies_to", "model_versions"), None),
        (("fit", "n"), 4001),
        (("score_histogram", "shares"), [0.5, 0.5]),
        (("golden", "outputs", 0), 0.126),
    ]:
        code, _ = refusal(edited(FULL, path, replacement, sign=False))
        assert code == "DIGEST_MISMATCH"
        digests.add(json.loads(edited(FULL, path, replacement))["digest"])
    assert len(digests) == 8


def test_a_document_written_elsewhere_keeps_its_golden_vector_and_digest():
    """Another machine's logarithm may differ in the last bit; its document must stay the same document."""
    value = json.loads(calibrators.dumps(PLATT))
    value["golden"]["outputs"][5] = math.nextafter(value["golden"]["outputs"][5], 1.0)
    text = json.dumps(signed(value))
    loaded = calibrators.loads(text)
    assert loaded.digest == json.loads(text)["digest"] != PLATT.digest
    assert json.loads(calibrators.dumps(loaded)) == json.loads(text)


def test_whole_numbers_stand_for_themselves():
    text = calibrators.dumps(Calibrator(Platt(2.0, 0.0))).replace('"slope": 2.0', '"slope": 2')
    assert calibrators.loads(text) == Calibrator(Platt(2.0, 0.0))


NAN, INFINITY = math.nan, math.inf

REFUSED = [
    # Shape
    ("", "DOCUMENT_MALFORMED", "not JSON"),
    ("{", "DOCUMENT_MALFORMED", "not JSON"),
    (b"\xff\xfe{}", "DOCUMENT_MALFORMED", "not UTF-8 text"),
    ("[]", "DOCUMENT_MALFORMED", "the document must be a JSON object"),
    ("null", "DOCUMENT_MALFORMED", "the document must be a JSON object"),
    ("[" * 100_000, "DOCUMENT_MALFORMED", "nests too deeply"),
    ('{"schema": 1, "schema": 1}', "DOCUMENT_MALFORMED", "the key 'schema' stands twice"),
    ('{"schema": ' + "1" * 5000 + "}", "DOCUMENT_MALFORMED", "cannot be read"),
    ('{"schema": 1}', "DOCUMENT_MALFORMED", "kind is missing"),
    (" " * (1 << 20) + "{}", "DOCUMENT_TOO_LARGE", "1048578 bytes"),
    ("é" * (1 << 19) + "é", "DOCUMENT_TOO_LARGE", "1048578 bytes"),
    (edited(FULL, ("lower",), None), "DOCUMENT_MALFORMED", "lower is unknown"),
    (edited(FULL, ("fit",), REMOVED), "DOCUMENT_MALFORMED", "fit is missing"),
    (edited(FULL, ("fit",), []), "DOCUMENT_MALFORMED", "fit must be a JSON object"),
    (edited(FULL, ("fit", "note"), REMOVED), "DOCUMENT_MALFORMED", "fit.note is missing"),
    (edited(FULL, ("fit", "n_labels"), 3), "DOCUMENT_MALFORMED", "fit.n_labels is unknown"),
    (edited(FULL, ("parameters", "z"), 3), "DOCUMENT_MALFORMED", "parameters.z is unknown"),
    (edited(FULL, ("parameters", "x"), 3), "DOCUMENT_MALFORMED", "parameters.x must be a JSON array"),
    (edited(FULL, ("parameters", "x", 1), "0.5"), "DOCUMENT_MALFORMED", "parameters.x[1] must be a number"),
    (edited(FULL, ("parameters", "x", 1), True), "DOCUMENT_MALFORMED", "parameters.x[1] must be a number"),
    (edited(FULL, ("parameters", "x", 1), None), "DOCUMENT_MALFORMED", "parameters.x[1] must be a number"),
    (edited(PLATT, ("parameters", "slope"), REMOVED), "DOCUMENT_MALFORMED", "parameters.slope is missing"),
    (edited(PLATT, ("parameters", "on"), "probit"), "DOCUMENT_MALFORMED", "parameters.on is 'probit'"),
    (edited(VECTOR, ("parameters", "input"), "tokens"), "DOCUMENT_MALFORMED", "parameters.input is 'tokens'"),
    (edited(PLATT, ("digest",), 17, sign=False), "DOCUMENT_MALFORMED", "digest must be a text"),
    # Schema and kind
    (edited(FULL, ("schema",), 3), "SCHEMA_UNKNOWN", "schema is 3"),
    (edited(FULL, ("schema",), 2), "DOCUMENT_MALFORMED", "category_offsets is missing"),
    (edited(LATER, ("schema",), 1), "DOCUMENT_MALFORMED", "category_offsets is unknown"),
    (edited(FULL, ("schema",), True), "SCHEMA_UNKNOWN", "schema is True"),
    (edited(FULL, ("schema",), 1.0), "SCHEMA_UNKNOWN", "schema is 1.0"),
    (edited(FULL, ("schema",), REMOVED), "SCHEMA_UNKNOWN", "schema is None"),
    (edited(FULL, ("kind",), "spline"), "KIND_UNKNOWN", "kind is 'spline'"),
    (edited(FULL, ("kind",), None), "DOCUMENT_MALFORMED", "kind must be a text"),
    # Numbers
    (edited(PLATT, ("parameters", "slope"), NAN, sign=False), "NOT_FINITE", "parameters.slope is nan"),
    (edited(PLATT, ("parameters", "intercept"), -INFINITY), "NOT_FINITE", "parameters.intercept is -inf"),
    (calibrators.dumps(PLATT).replace("1.5", "1e999"), "NOT_FINITE", "parameters.slope is inf"),
    (calibrators.dumps(PLATT).replace("1.5", "1" * 400), "NOT_FINITE", "parameters.slope is inf"),
    (edited(FULL, ("parameters", "y", 2), INFINITY), "NOT_FINITE", "parameters.y[2] is inf"),
    (edited(FULL, ("epsilon",), NAN), "NOT_FINITE", "epsilon is nan"),
    (edited(FULL, ("fit", "positives"), NAN), "NOT_FINITE", "fit.positives is nan"),
    (edited(FULL, ("score_histogram", "shares", 0), NAN), "NOT_FINITE", "score_histogram.shares[0] is nan"),
    (edited(FULL, ("golden", "outputs", 3), NAN), "NOT_FINITE", "golden.outputs[3] is nan"),
    (edited(VECTOR, ("golden", "inputs", 1, 2), NAN), "NOT_FINITE", "golden.inputs[1][2] is nan"),
    # Order
    (edited(FULL, ("parameters", "y"), [0.5, 0.4, 0.9]), "NOT_MONOTONE", "y[1] is below y[0]"),
    (edited(FULL, ("parameters", "x"), [0.5, 0.5, 0.9]), "NOT_MONOTONE", "x[1] is not above x[0]"),
    (edited(PLATT, ("parameters", "slope"), -1.5), "NOT_MONOTONE", "slope is -1.5"),
    (edited(VECTOR, ("parameters", "temperature"), -1.0), "NOT_MONOTONE", "temperature is -1.0"),
    # Range
    (edited(VECTOR, ("parameters", "temperature"), 0.0), "OUT_OF_RANGE", "temperature is 0"),
    (edited(CONSTANT, ("parameters", "value"), 1.01), "OUT_OF_RANGE", "value is 1.01"),
    (edited(FULL, ("parameters", "y", 2), 1.5), "OUT_OF_RANGE", "y[2] is 1.5"),
    (edited(FULL, ("epsilon",), 0.0), "OUT_OF_RANGE", "epsilon is 0.0"),
    (edited(FULL, ("golden", "outputs", 19), 1.0), "OUT_OF_RANGE", "golden.outputs[19] is 1.0, outside"),
    (edited(FULL, ("golden", "inputs", 19), 1.5), "OUT_OF_RANGE", "golden.inputs[19] is 1.5"),
    (edited(FULL, ("fit", "n"), -1), "OUT_OF_RANGE", "fit.n is -1"),
    (edited(FULL, ("score_histogram", "shares"), [0.5, 0.6]), "OUT_OF_RANGE", "shares sum to 1.1"),
    (edited(FULL, ("score_histogram", "edges"), [0.0, 0.0, 1.0]), "OUT_OF_RANGE", "edges must increase"),
    # Who it is for
    (edited(FULL, ("applies_to", "model"), ""), "DOCUMENT_MALFORMED", "applies_to.model must not be empty"),
    (edited(FULL, ("applies_to", "model"), "\ud800"), "DOCUMENT_MALFORMED", "half a character"),
    (edited(FULL, ("applies_to", "model_versions"), []), "DOCUMENT_MALFORMED", "at least one version"),
    (edited(FULL, ("applies_to", "model_versions"), "v7"), "DOCUMENT_MALFORMED", "must be a JSON array"),
    (
        edited(FULL, ("applies_to", "model_versions"), [7]),
        "DOCUMENT_MALFORMED",
        "model_versions[0] must be a text",
    ),
    (
        edited(FULL, ("applies_to", "evidence"), "vibes"),
        "DOCUMENT_MALFORMED",
        "applies_to.evidence is 'vibes'",
    ),
    (edited(FULL, ("applies_to", "evidence"), "score"), "DOCUMENT_MALFORMED", "only token_logprobs"),
    (
        edited(FULL, ("applies_to", "aggregation"), "max"),
        "DOCUMENT_MALFORMED",
        "applies_to.aggregation is 'max'",
    ),
    (edited(FULL, ("applies_to", "source"), "oracle"), "DOCUMENT_MALFORMED", "applies_to.source is 'oracle'"),
    (edited(FULL, ("applies_to", "answer"), "any"), "DOCUMENT_MALFORMED", "applies_to.answer is 'any'"),
    (
        edited(FULL, ("applies_to", "criterion"), None),
        "DOCUMENT_MALFORMED",
        "applies_to.criterion must be a text",
    ),
    (
        edited(VECTOR, ("applies_to",), json.loads(calibrators.dumps(FULL))["applies_to"]),
        "DOCUMENT_MALFORMED",
        "a temperature over logits takes probabilities or logits",
    ),
    # The birth certificate
    (edited(FULL, ("fit", "n"), 4000.5), "DOCUMENT_MALFORMED", "fit.n is 4000.5: it must be a whole number"),
    (
        edited(FULL, ("fit", "window_from"), "yesterday"),
        "DOCUMENT_MALFORMED",
        "fit.window_from is 'yesterday'",
    ),
    (edited(FULL, ("fit", "window_to"), "2025-03-01T00:00:00"), "DOCUMENT_MALFORMED", "with its offset"),
    (edited(FULL, ("fit", "window_to"), "2025-01-01T00:00:00Z"), "OUT_OF_RANGE", "later than fit.window_to"),
    # Category offsets
    (edited(LATER, ("lower",), None), "DOCUMENT_MALFORMED", "say nothing: without either write schema 1"),
    (edited(SHIFTED, ("category_offsets",), [1]), "DOCUMENT_MALFORMED", "category_offsets must be a JSON"),
    (edited(SHIFTED, ("category_offsets", "a"), 0), "DOCUMENT_MALFORMED", "which says nothing"),
    (edited(SHIFTED, ("category_offsets", "a"), "1"), "DOCUMENT_MALFORMED", "category_offsets['a'] must be"),
    (edited(SHIFTED, ("category_offsets", "a"), NAN), "NOT_FINITE", "category_offsets['a'] is nan"),
    (edited(SHIFTED, ("category_offsets", "a"), 5.5), "OUT_OF_RANGE", "category_offsets['a'] is 5.5"),
    (edited(SHIFTED, ("category_offsets", "a"), -INFINITY), "NOT_FINITE", "category_offsets['a'] is -inf"),
    (edited(SHIFTED, ("category_offsets", ""), 1.0), "DOCUMENT_MALFORMED", "a category must not be empty"),
    (edited(SHIFTED, ("category_offsets", "refunds"), -0.5), "GOLDEN_MISMATCH", "golden.outputs["),
    # The lower curve
    (edited(LATER, ("lower",), [1]), "DOCUMENT_MALFORMED", "lower must be a JSON object"),
    (edited(LATER, ("lower", "level"), 0.5), "OUT_OF_RANGE", "lower.level is 0.5"),
    (edited(LATER, ("lower", "level"), 1.0), "OUT_OF_RANGE", "lower.level is 1.0"),
    (edited(LATER, ("lower", "level"), NAN), "NOT_FINITE", "lower.level is nan"),
    (edited(LATER, ("lower", "level"), REMOVED), "DOCUMENT_MALFORMED", "lower.level is missing"),
    (edited(LATER, ("lower", "method"), ""), "DOCUMENT_MALFORMED", "lower.method must not be empty"),
    (edited(LATER, ("lower", "knots"), 2), "DOCUMENT_MALFORMED", "lower.knots is unknown"),
    (edited(LATER, ("lower", "bounds", 1), NAN), "NOT_FINITE", "lower.bounds[1] is nan"),
    (edited(LATER, ("lower", "bounds", 1), 0.76), "OUT_OF_RANGE", "above its confidence 0.75"),
    (edited(LATER, ("lower", "bounds", 1), 0.1), "NOT_MONOTONE", "lower.bounds[1] is below"),
    (edited(LATER, ("lower", "confidences", 1), 0.25), "NOT_MONOTONE", "lower.confidences[1] is not above"),
    (edited(LATER, ("lower", "confidences", 1), 1.5), "OUT_OF_RANGE", "lower.confidences[1] is 1.5"),
    (edited(LATER, ("lower", "bounds", 1), REMOVED), "DOCUMENT_MALFORMED", "2 confidences and 1 bounds"),
    (
        edited(LATER, ("lower",), {"level": 0.9, "method": "m", "confidences": [], "bounds": []}),
        "DOCUMENT_MALFORMED",
        "0 confidences and 0 bounds",
    ),
    (edited(LATER, ("lower", "bounds", 1), 0.5), "GOLDEN_MISMATCH", "golden.bounds["),
    (edited(LATER, ("golden", "bounds", 3), 1.0), "OUT_OF_RANGE", "golden.bounds[3] is 1.0"),
    (edited(LATER, ("golden", "bounds", 3), REMOVED), "DOCUMENT_MALFORMED", "golden.bounds must have one"),
    (edited(LATER, ("golden", "bounds"), []), "DOCUMENT_MALFORMED", "golden.bounds must have one"),
    (edited(LATER, ("golden", "bounds"), REMOVED), "DOCUMENT_MALFORMED", "golden.bounds is missing"),
    (edited(LATER, ("golden", "categories"), []), "DOCUMENT_MALFORMED", "the category of each input"),
    (
        edited(LATER, ("golden", "categories", 0), 7),
        "DOCUMENT_MALFORMED",
        "golden.categories[0] must be a text",
    ),
    (edited(FULL, ("golden", "bounds"), []), "DOCUMENT_MALFORMED", "golden.bounds is unknown"),
    # The golden vector
    (edited(FULL, ("golden", "outputs", 10), 0.5 + 2e-12), "GOLDEN_MISMATCH", "golden.outputs[10] is 0.5"),
    (edited(VECTOR, ("golden", "outputs", 0, 1), 0.6), "GOLDEN_MISMATCH", "golden.outputs[0] is 0.6"),
    (edited(FULL, ("golden", "outputs", 10), REMOVED), "DOCUMENT_MALFORMED", "of one length"),
    (
        edited(VECTOR, ("golden", "outputs", 0), [0.5]),
        "DOCUMENT_MALFORMED",
        "golden.outputs[0] must be as long",
    ),
    (edited(FULL, ("golden",), {"inputs": [], "outputs": []}), "DOCUMENT_MALFORMED", "at least 1"),
    (edited(FULL, ("golden",), None), "DOCUMENT_MALFORMED", "golden must be a JSON object"),
    # The digest
    (edited(FULL, ("digest",), "sha256:00", sign=False), "DIGEST_MISMATCH", "digest is 'sha256:00'"),
    (edited(FULL, ("parameters", "y", 1), 0.75, sign=False), "DIGEST_MISMATCH", "altered"),
]


@pytest.mark.parametrize(("text", "code", "message"), REFUSED, ids=range(len(REFUSED)))
def test_a_bad_document_is_refused_by_its_own_code_and_names_the_key(text, code, message):
    found_code, found_message = refusal(text)
    assert found_code == code
    assert message in found_message


def test_every_code_of_refusal_is_reached():
    assert {code for _, code, _ in REFUSED} == {
        *("DOCUMENT_TOO_LARGE", "DOCUMENT_MALFORMED", "SCHEMA_UNKNOWN", "KIND_UNKNOWN", "NOT_FINITE"),
        *("NOT_MONOTONE", "DIGEST_MISMATCH", "GOLDEN_MISMATCH", "OUT_OF_RANGE"),
    }


def test_a_calibrator_that_nobody_could_load_is_not_written():
    knots = tuple(index / 40_003 for index in range(40_001))
    with pytest.raises(CalibratorRefused) as refused:
        calibrators.dumps(Calibrator(Isotonic(knots, knots)))
    assert refused.value.code == "DOCUMENT_TOO_LARGE"


def test_a_large_isotonic_map_still_fits():
    knots = tuple(index / 20_003 for index in range(20_001))
    calibrator = Calibrator(Isotonic(knots, knots))
    assert calibrators.loads(calibrators.dumps(calibrator)) == calibrator


def test_the_document_module_offers_what_it_documents():
    assert document.loads is calibrators.loads
    assert all(hasattr(document, name) for name in document.__all__)
    assert all(hasattr(calibrators, name) for name in calibrators.__all__)


@pytest.mark.process
def test_one_value_is_calibrated_without_numpy():
    """The sidecar's request path stays free of it: 13 MB of resident memory."""
    program = (
        "import sys, calibrators\n"
        "c = calibrators.loads(sys.stdin.read())\n"
        "c.apply_one(0.4), c.confidence(calibrators.Evidence('score', (0.4,)))\n"
        "assert not {'numpy', 'mlflow', 'pandas'} & set(sys.modules), sorted(sys.modules)\n"
    )
    for calibrator in (FULL, PLATT, Calibrator(Temperature(1.1))):
        text = calibrators.dumps(calibrator)
        subprocess.run([sys.executable, "-c", program], input=text, text=True, check=True)
