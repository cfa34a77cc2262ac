"""Tensors of the Open Inference Protocol: a request from a question, values from a response.

Typed contents and raw ones are both read: Triton answers raw, MLServer typed unless it was asked raw.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from open_inference import model_infer_pb2

from sidecar.policy.secondary import Input, Scalar, element
from sidecar.service.fallback.steps import Question, StepFailed

MAX_ELEMENTS = 100_000
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
RAW_FORMATS = {
    "BOOL": "?",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
    "BF16": "H",
}
FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output: its elements, row-major, and how they are laid out."""

    datatype: str
    shape: tuple[int, ...]
    elements: tuple[float | int | bool | bytes, ...]

    @property
    def is_vector(self) -> bool:
        """Whether at most one dimension is larger than 1: one row of a table is a vector too."""
        return sum(size != 1 for size in self.shape) <= 1


def request(
    model: str, version: str, inputs: Sequence[Input], outputs: Sequence[str], question: Question
) -> model_infer_pb2.ModelInferRequest:
    """The request that a question makes.

    Raises:
        StepFailed: INPUT_MISSING (the request has no such attribute or context), or INPUT_UNUSABLE (it has,
        but
            of another type than the model takes).
    """
    message = model_infer_pb2.ModelInferRequest(model_name=model, model_version=version)
    for item in inputs:
        tensor = message.inputs.add(name=item.name, datatype=item.datatype, shape=item.dimensions)
        if item.content_type:
            tensor.parameters["content_type"].string_param = item.content_type
        values = item.constants or [_value(source, question) for source in item.sources]
        try:
            elements = [element(value, item.datatype) for value in values]
            contents = getattr(tensor.contents, CONTENTS[item.datatype])
            contents.extend(value.encode() if isinstance(value, str) else value for value in elements)
        except ValueError as error:
            raise StepFailed(f"input {item.name}: {error}", code="INPUT_UNUSABLE") from error
    for name in outputs:
        message.outputs.add(name=name)
    return message


def _value(source: str, question: Question) -> Scalar:
    room, _, name = source.partition(".")
    value: Scalar | None
    if room == "attributes":
        value = question.attributes.get(name)
    elif room == "context":
        value = question.context.get(name)
    elif room == "category":
        value = question.category
    elif room == "predicted_class":
        value = question.predicted_class
    else:
        value = question.raw_confidence
    if value is None or (value == "" and room in ("category", "predicted_class")):
        raise StepFailed(f"the request has no {source}", code="INPUT_MISSING")
    return value


def output(response: model_infer_pb2.ModelInferResponse, name: str, *, any_shape: bool = False) -> Tensor:
    """One output of a response.

    Args:
        response: what the model answered.
        name: the output's name.
        any_shape: whether the shape may be wrong: MLServer's Hugging Face runtime writes a text's length.

    Raises:
        StepFailed: MALFORMED_OUTPUT (there is none of that name, or two, or its bytes are no tensor of its
            datatype), or WRONG_SHAPE (its elements are not as many as its shape says).
    """
    positions = [position for position, item in enumerate(response.outputs) if item.name == name]
    if len(positions) != 1:
        raise _malformed(f"there are {len(positions)} outputs {name!r}")
    item = response.outputs[positions[0]]
    shape = tuple(item.shape)
    if any(size < 1 for size in shape) or (math.prod(shape) > MAX_ELEMENTS and not any_shape):
        raise StepFailed(f"output {name!r} has shape {shape}", code="WRONG_SHAPE")
    if response.raw_output_contents:
        if len(response.raw_output_contents) != len(response.outputs) or item.HasField("contents"):
            raise _malformed("raw and typed contents are mixed, or not one for each output")
        elements = _raw(item.datatype, response.raw_output_contents[positions[0]])
    else:
        field = CONTENTS.get(item.datatype)
        if field is None:
            raise _malformed(f"output {name!r} has datatype {item.datatype!r}")
        elements = tuple(getattr(item.contents, field))
    if len(elements) != math.prod(shape) and not any_shape:
        raise StepFailed(f"output {name!r} has {len(elements)} elements in shape {shape}", code="WRONG_SHAPE")
    return Tensor(item.datatype, shape, elements)


def _raw(datatype: str, data: bytes) -> tuple[float | int | bool | bytes, ...]:
    if datatype == "BYTES":
        return _texts(data)
    letter = RAW_FORMATS.get(datatype)
    if letter is None:
        raise _malformed(f"datatype {datatype!r}")
    size = struct.calcsize(letter)
    if len(data) % size:
        raise _malformed(f"{len(data)} bytes are no whole number of {datatype} elements")
    values: tuple[float | int | bool, ...] = struct.unpack(f"<{len(data) // size}{letter}", data)
    if datatype == "BF16":
        # The upper half of a 32-bit float.
        return struct.unpack(f"<{len(values)}f", b"".join(struct.pack("<HH", 0, value) for value in values))
    return values


def _texts(data: bytes) -> tuple[bytes, ...]:
    """Elements of BYTES: a little-endian length of four bytes before each."""
    texts, position = [], 0
    while position < len(data):
        end = position + 4
        length = int.from_bytes(data[position:end], "little")
        if end > len(data) or end + length > len(data):
            raise _malformed("a text is longer than its tensor")
        texts.append(data[end : end + length])
        position = end + length
    return tuple(texts)


def _malformed(message: str) -> StepFailed:
    return StepFailed(message, code="MALFORMED_OUTPUT")
