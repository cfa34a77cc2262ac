"""What a secondary model's response is read as: every form that servers use, and every lie."""

import json
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_inference import model_infer_pb2 as pb

from calibrators import evidence
from calibrators.evidence import Evidence
from sidecar.policy import secondary
from sidecar.policy.secondary import Input, Output
from sidecar.service.fallback import outputs, tensors
from sidecar.service.fallback.steps import Question, StepFailed

CLASSES = ("interested", "not_now", "unsubscribe")
OUTPUT: pydantic.TypeAdapter[Output] = pydantic.TypeAdapter(Output)
VECTOR = OUTPUT.validate_python({"meaning": "probabilities", "name": "p"})
LOGITS = OUTPUT.validate_python({"meaning": "logits", "name": "p"})
POSITIVE = OUTPUT.validate_python({"meaning": "positive_probability", "name": "p", "positive_class": "b"})
LABEL = OUTPUT.validate_python({"meaning": "label_and_score", "label": "label", "score": "p"})
JSON = OUTPUT.validate_python({"meaning": "json_label_and_score", "name": "p"})


def typed(values: Sequence[Any], datatype: str = "FP64", shape: Sequence[int] = (), name: str = "p") -> Any:
    contents = pb.InferTensorContents()
    getattr(contents, tensors.CONTENTS[datatype]).extend(values)
    return pb.ModelInferResponse.InferOutputTensor(
        name=name, datatype=datatype, shape=shape or [1, len(values)], contents=contents
    )


def response(*items: Any, raw: Sequence[bytes] = ()) -> pb.ModelInferResponse:
    return pb.ModelInferResponse(outputs=items, raw_output_contents=raw)


def raw(data: bytes, datatype: str, shape: Sequence[int]) -> pb.ModelInferResponse:
    item = pb.ModelInferResponse.InferOutputTensor(name="p", datatype=datatype, shape=shape)
    return response(item, raw=[data])


def code_of(output: Output, given: pb.ModelInferResponse, classes: Sequence[str] = CLASSES) -> str:
    with pytest.raises(StepFailed) as caught:
        outputs.read(output, given, classes)
    return str(caught.value.code)


@pytest.mark.parametrize("shape", [[3], [1, 3], [3, 1], [1, 1, 3]])
@pytest.mark.parametrize("form", ["FP64", "FP32", "raw FP64", "raw FP32", "raw FP16", "raw BF16"])
def test_probabilities_in_every_form(shape: list[int], form: str) -> None:
    values = (0.125, 0.75, 0.125)  # exact in all of them
    packed = {
        "raw FP64": (struct.pack("<3d", *values), "FP64"),
        "raw FP32": (struct.pack("<3f", *values), "FP32"),
        "raw FP16": (struct.pack("<3e", *values), "FP16"),
        "raw BF16": (b"".join(struct.pack("<f", value)[2:] for value in values), "BF16"),
    }
    given = raw(*packed[form], shape) if form in packed else response(typed(values, form, shape))
    assert outputs.read(VECTOR, given, CLASSES) == (
        "not_now",
        Evidence("probabilities", values, answer_index=1),
    )


def test_logits() -> None:
    answer, given = outputs.read(LOGITS, response(typed([-2.0, 0.5, 3.0], "FP32")), CLASSES)
    assert answer == "unsubscribe"
    assert given == Evidence("logits", (-2.0, 0.5, 3.0), answer_index=2)
    expected = math.exp(3.0) / (math.exp(-2.0) + math.exp(0.5) + math.exp(3.0))
    assert evidence.raw_confidence(given) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "answer", "confidence"), [(0.9, "b", 0.9), (0.5, "b", 0.5), (0.1, "a", 0.9)]
)
@pytest.mark.parametrize("shape", [[1], [1, 1]])
def test_a_positive_probability(value: float, answer: str, confidence: float, shape: list[int]) -> None:
    name, given = outputs.read(POSITIVE, response(typed([value], shape=shape)), ("a", "b"))
    assert name == answer
    assert given.kind == secondary.evidence_kind(POSITIVE) == "positive_probability"
    assert evidence.raw_confidence(given) == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("label", "datatype", "classes", "answer"),
    [
        (b"not_now", "BYTES", CLASSES, "not_now"),
        ("größer".encode(), "BYTES", (), "größer"),
        (2, "INT64", CLASSES, "unsubscribe"),
        (0, "UINT8", CLASSES, "interested"),
    ],
)
def test_a_label_and_a_score(label: Any, datatype: str, classes: Sequence[str], answer: str) -> None:
    given = response(typed([label], datatype, [1], name="label"), typed([0.8], "FP32", [1]))
    name, found = outputs.read(LABEL, given, classes)
    assert (name, found.kind) == (answer, "score")
    assert found.values[0] == pytest.approx(0.8)


def test_a_raw_label_and_score() -> None:
    items = [
        pb.ModelInferResponse.InferOutputTensor(name="label", datatype="BYTES", shape=[1]),
        pb.ModelInferResponse.InferOutputTensor(name="p", datatype="FP64", shape=[1]),
    ]
    given = response(*items, raw=[struct.pack("<I", 7) + b"not_now", struct.pack("<d", 0.25)])
    assert outputs.read(LABEL, given, CLASSES) == ("not_now", Evidence("score", (0.25,)))


@pytest.mark.parametrize(
    "content",
    [
        {"label": "not_now", "score": 0.75},
        [{"label": "not_now", "score": 0.75}],
        [
            {"label": "interested", "score": 0.2},
            {"label": "not_now", "score": 0.75},
            {"label": "x", "score": 0},
        ],
    ],
)
def test_json_of_label_and_score_whatever_its_shape_says(content: Any) -> None:
    text = json.dumps(content).encode()
    given = response(typed([text], "BYTES", [len(text), 1]))
    assert outputs.read(JSON, given, CLASSES) == ("not_now", Evidence("score", (0.75,)))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "MALFORMED_OUTPUT"),
        (b"not json", "MALFORMED_OUTPUT"),
        (b"[]", "MALFORMED_OUTPUT"),
        (b"null", "MALFORMED_OUTPUT"),
        (b"\xff", "MALFORMED_OUTPUT"),
        (b"[" * 100_000, "MALFORMED_OUTPUT"),
        (b'{"label": "not_now"}', "MALFORMED_OUTPUT"),
        (b'{"label": 1, "score": 0.5}', "MALFORMED_OUTPUT"),
        (b'{"label": "not_now", "score": true}', "MALFORMED_OUTPUT"),
        (b'{"label": "not_now", "score": "0.9"}', "MALFORMED_OUTPUT"),
        (b'[{"label": "not_now", "score": 0.9}, 3]', "MALFORMED_OUTPUT"),
        (b'{"label": "not_now", "score": NaN}', "NOT_FINITE"),
        (b'{"label": "not_now", "score": 1e999}', "NOT_FINITE"),
        (b'{"label": "not_now", "score": 2.0}', "OUT_OF_RANGE"),
        (b'{"label": "not_now", "score": 1' + b"0" * 400 + b"}", "OUT_OF_RANGE"),
        (b'{"label": "refund", "score": 0.9}', "UNKNOWN_CLASS"),
        (b'{"label": "", "score": 0.9}', "UNKNOWN_CLASS"),
    ],
)
def test_json_that_lies(text: bytes, code: str) -> None:
    assert code_of(JSON, response(typed([text], "BYTES", [1]))) == code


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (response(), "MALFORMED_OUTPUT"),
        (response(typed([0.1, 0.8, 0.1], name="q")), "MALFORMED_OUTPUT"),
        (response(typed([0.1, 0.8, 0.1]), typed([0.8, 0.1, 0.1])), "MALFORMED_OUTPUT"),
        (response(typed([1, 0, 0], "INT64")), "MALFORMED_OUTPUT"),
        (response(typed([b"a", b"b", b"c"], "BYTES")), "MALFORMED_OUTPUT"),
        (response(typed([0.1, 0.8, 0.1]), raw=[b"\0" * 24]), "MALFORMED_OUTPUT"),
        (raw(b"\0" * 23, "FP64", [3]), "MALFORMED_OUTPUT"),
        (raw(b"\0" * 24, "FP128", [3]), "MALFORMED_OUTPUT"),
        (raw(b"\0" * 24, "", [3]), "MALFORMED_OUTPUT"),
        (raw(struct.pack("<I", 99) + b"abc", "BYTES", [1]), "MALFORMED_OUTPUT"),
        (raw(b"\1", "BYTES", [1]), "MALFORMED_OUTPUT"),
        (
            pb.ModelInferResponse(
                outputs=[pb.ModelInferResponse.InferOutputTensor(name="p", datatype="FP16", shape=[3])]
            ),
            "MALFORMED_OUTPUT",
        ),
        (response(typed([0.2, 0.8])), "WRONG_SHAPE"),
        (response(typed([0.1, 0.2, 0.3, 0.4])), "WRONG_SHAPE"),
        (response(typed([0.1, 0.8, 0.1], shape=[1, 2])), "WRONG_SHAPE"),
        (response(typed([0.1, 0.8, 0.1], shape=[3, 3])), "WRONG_SHAPE"),
        (response(typed([0.1, 0.8, 0.1], shape=[-1, 3])), "WRONG_SHAPE"),
        (response(typed([0.1, 0.8, 0.1], shape=[0])), "WRONG_SHAPE"),
        (response(typed([0.1] * 9, shape=[3, 3])), "WRONG_SHAPE"),
        (raw(struct.pack("<2d", 0.5, 0.5), "FP64", [3]), "WRONG_SHAPE"),
        (raw(b"", "FP64", [2**40]), "WRONG_SHAPE"),
        (response(typed([math.nan, 0.8, 0.1])), "NOT_FINITE"),
        (response(typed([math.inf, 0.0, 0.0])), "NOT_FINITE"),
        (raw(struct.pack("<3f", math.nan, 0.5, 0.5), "FP32", [3]), "NOT_FINITE"),
        (response(typed([2.0, -0.5, -0.5])), "OUT_OF_RANGE"),
        (response(typed([0.1, 1.1, -0.2])), "OUT_OF_RANGE"),
        (response(typed([0.1, 0.1, 0.1])), "NOT_NORMALISED"),
        (response(typed([0.9, 0.9, 0.9])), "NOT_NORMALISED"),
    ],
)
def test_a_vector_that_lies(given: pb.ModelInferResponse, code: str) -> None:
    assert code_of(VECTOR, given) == code


@pytest.mark.parametrize(
    ("label", "score", "code"),
    [
        (typed([b"not_now"], "BYTES", [1], "label"), typed([2.0], shape=[1]), "OUT_OF_RANGE"),
        (typed([b"not_now"], "BYTES", [1], "label"), typed([math.nan], shape=[1]), "NOT_FINITE"),
        (typed([b"not_now"], "BYTES", [1], "label"), typed([0.5, 0.5]), "WRONG_SHAPE"),
        (typed([b"not_now"] * 2, "BYTES", [2], "label"), typed([0.5], shape=[1]), "WRONG_SHAPE"),
        (typed([b"not_now"], "BYTES", [1], "label"), typed([True], "BOOL", [1]), "MALFORMED_OUTPUT"),
        (typed([b"\xff"], "BYTES", [1], "label"), typed([0.5], shape=[1]), "MALFORMED_OUTPUT"),
        (typed([1.0], "FP32", [1], "label"), typed([0.5], shape=[1]), "MALFORMED_OUTPUT"),
        (typed([True], "BOOL", [1], "label"), typed([0.5], shape=[1]), "MALFORMED_OUTPUT"),
        (typed([b"refund"], "BYTES", [1], "label"), typed([0.5], shape=[1]), "UNKNOWN_CLASS"),
        (typed([3], "INT32", [1], "label"), typed([0.5], shape=[1]), "UNKNOWN_CLASS"),
        (typed([-1], "INT32", [1], "label"), typed([0.5], shape=[1]), "UNKNOWN_CLASS"),
    ],
)
def test_a_label_and_a_score_that_lie(label: Any, score: Any, code: str) -> None:
    assert code_of(LABEL, response(label, score)) == code


def test_rounding_of_32_bits_is_no_lie() -> None:
    _, found = outputs.read(VECTOR, response(typed([1.0 + 1e-7, -1e-8, 0.0])), CLASSES)
    assert found.values == (1.0, 0.0, 0.0)


@given(st.binary(max_size=200))
def test_whatever_bytes_a_server_sends_they_are_read_or_refused(data: bytes) -> None:
    try:
        given = pb.ModelInferResponse.FromString(data)
    except Exception:
        return
    for output in (VECTOR, LOGITS, LABEL, JSON):
        with pytest.raises(StepFailed):
            outputs.read(output, given, CLASSES)


NUMBERS = st.floats(width=32) | st.sampled_from([0.0, 0.5, 1.0])


@given(
    st.lists(NUMBERS, max_size=4),
    st.lists(st.integers(-1, 4), max_size=3),
    st.sampled_from(["FP32", "FP64"]),
    st.booleans(),
)
def test_what_is_read_of_a_vector_is_a_confidence(
    values: list[float], shape: list[int], datatype: str, as_bytes: bool
) -> None:
    if as_bytes:
        given = raw(
            struct.pack(f"<{len(values)}{'f' if datatype == 'FP32' else 'd'}", *values), datatype, shape
        )
    else:
        given = response(typed(values, datatype, shape))
    for output in (VECTOR, LOGITS):
        try:
            answer, found = outputs.read(output, given, CLASSES)
        except StepFailed as error:
            refused = error.code
        else:
            refused = ""
            assert answer in CLASSES
            assert evidence.problem(found) is None
            assert 0.0 <= evidence.raw_confidence(found) <= 1.0
        if not refused:
            assert len(values) == len(CLASSES)
            assert all(map(math.isfinite, values))


def test_the_request_that_a_question_makes(question: Callable[..., Question]) -> None:
    inputs = [
        Input.model_validate(entry)
        for entry in (
            {"name": "text", "datatype": "BYTES", "from": "context.text", "content_type": "str"},
            {"name": "row", "datatype": "FP32", "from": ["attributes.amount", "raw_confidence"]},
            {"name": "vip", "datatype": "BOOL", "from": "attributes.vip", "shape": [1, 1]},
            {"name": "k", "datatype": "INT64", "value": [1, 2]},
            {"name": "small", "datatype": "UINT8", "from": "attributes.amount"},
            {"name": "category", "datatype": "BYTES", "from": "category"},
        )
    ]
    asked = question(attributes={"amount": 50.0, "vip": True}, context={"text": "größer"})
    message = tensors.request("backup", "3", inputs, ["p"], asked)
    assert (message.model_name, message.model_version, message.id) == ("backup", "3", "")
    assert [item.name for item in message.outputs] == ["p"]
    text, row, vip, constants, small, category = message.inputs
    assert (list(text.contents.bytes_contents), list(text.shape)) == (["größer".encode()], [1])
    assert text.parameters["content_type"].string_param == "str"
    assert list(row.contents.fp32_contents) == pytest.approx([50.0, 0.8])
    assert list(row.shape) == [1, 2]
    assert (list(vip.contents.bool_contents), list(vip.shape)) == ([True], [1, 1])
    assert list(constants.contents.int64_contents) == [1, 2]
    assert (list(small.contents.uint_contents), small.datatype) == ([50], "UINT8")
    assert list(category.contents.bytes_contents) == [b"general"]
    assert not message.raw_input_contents


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"datatype": "BYTES", "from": "context.missing"}, "INPUT_MISSING"),
        ({"datatype": "FP64", "from": "attributes.missing"}, "INPUT_MISSING"),
        ({"datatype": "FP64", "from": ["attributes.amount", "attributes.missing"]}, "INPUT_MISSING"),
        ({"datatype": "BYTES", "from": "category"}, "INPUT_MISSING"),
        ({"datatype": "FP64", "from": "attributes.keyword"}, "INPUT_UNUSABLE"),
        ({"datatype": "BYTES", "from": "attributes.amount"}, "INPUT_UNUSABLE"),
        ({"datatype": "UINT8", "from": "attributes.huge"}, "INPUT_UNUSABLE"),
        ({"datatype": "INT32", "from": "attributes.half"}, "INPUT_UNUSABLE"),
        ({"datatype": "BYTES", "from": "attributes.surrogate"}, "INPUT_UNUSABLE"),
    ],
)
def test_a_question_that_cannot_be_asked(
    question: Callable[..., Question], entry: dict[str, Any], code: str
) -> None:
    attributes = {"keyword": "stop", "amount": 50.0, "huge": 300.0, "half": 0.5, "surrogate": "\ud800"}
    with pytest.raises(StepFailed) as caught:
        tensors.request(
            "backup",
            "",
            [Input.model_validate({"name": "x", **entry})],
            ["p"],
            question(category="", attributes=attributes),
        )
    assert caught.value.code == code
