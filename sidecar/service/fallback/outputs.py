"""From a secondary model's output to evidence: the answer, and what the model says of its confidence."""

import json
import math
from collections.abc import Sequence

from open_inference import model_infer_pb2

from calibrators import evidence
from calibrators.evidence import Evidence
from sidecar.policy.secondary import JsonOutput, LabelAndScoreOutput, Output, PositiveOutput, VectorOutput
from sidecar.service.fallback import tensors
from sidecar.service.fallback.steps import StepFailed
from sidecar.service.fallback.tensors import Tensor


def names(output: Output) -> tuple[str, ...]:
    """The tensors that an output needs."""
    if isinstance(output, LabelAndScoreOutput):
        return (output.label, output.score)
    return (output.name,)


def read(
    output: Output, response: model_infer_pb2.ModelInferResponse, classes: Sequence[str]
) -> tuple[str, Evidence]:
    """The class that the secondary model answers with, and the evidence about that answer.

    Raises:
        StepFailed: MALFORMED_OUTPUT, WRONG_SHAPE, NOT_FINITE, OUT_OF_RANGE (a confidence outside [0, 1]),
            NOT_NORMALISED (probabilities that do not sum to 1) or UNKNOWN_CLASS.
    """
    if isinstance(output, VectorOutput):
        return _vector(output, tensors.output(response, output.name), classes)
    if isinstance(output, PositiveOutput):
        probability = _probability(_single(tensors.output(response, output.name)))
        is_positive = probability >= 0.5
        other = next(name for name in classes if name != output.positive_class)
        given = Evidence("positive_probability", (probability,), answer_is_positive=is_positive)
        return output.positive_class if is_positive else other, given
    if isinstance(output, LabelAndScoreOutput):
        label = _single(tensors.output(response, output.label))
        score = _probability(_single(tensors.output(response, output.score)))
        return _class(label, classes), Evidence("score", (score,))
    return _json(output, tensors.output(response, output.name, any_shape=True), classes)


def _vector(output: VectorOutput, tensor: Tensor, classes: Sequence[str]) -> tuple[str, Evidence]:
    if tensor.datatype not in tensors.FLOATS:
        raise StepFailed(f"{output.meaning} have datatype {tensor.datatype}", code="MALFORMED_OUTPUT")
    if not tensor.is_vector or len(tensor.elements) != len(classes):
        raise StepFailed(
            f"shape {tensor.shape} does not hold one number for each of {len(classes)} classes",
            code="WRONG_SHAPE",
        )
    if output.meaning == "probabilities":
        values = tuple(_probability(value) for value in tensor.elements)
        if (reason := evidence.sum_problem(values)) is not None:
            raise StepFailed(reason, code="NOT_NORMALISED")
    else:
        values = tuple(_finite(value) for value in tensor.elements)
    index = values.index(max(values))
    return classes[index], Evidence(output.meaning, values, answer_index=index)


def _json(output: JsonOutput, tensor: Tensor, classes: Sequence[str]) -> tuple[str, Evidence]:
    text = _single(tensor)
    try:
        content = json.loads(text) if isinstance(text, bytes) else None
    except (ValueError, RecursionError):
        content = None
    items = content if isinstance(content, list) else [content]
    best: tuple[float, str] | None = None
    for item in items:
        if not isinstance(item, dict):
            break
        label, score = item.get("label"), item.get("score")
        if not isinstance(label, str) or isinstance(score, bool) or not isinstance(score, int | float):
            break
        scored = (_probability(score), label)
        best = scored if best is None or scored[0] > best[0] else best
    else:
        if best is not None:
            return _class(best[1].encode(), classes), Evidence("score", (best[0],))
    raise StepFailed(f"output {output.name} is no JSON of label and score", code="MALFORMED_OUTPUT")


def _single(tensor: Tensor) -> float | int | bool | bytes:
    if len(tensor.elements) != 1:
        raise StepFailed(f"shape {tensor.shape} is not one element", code="WRONG_SHAPE")
    return tensor.elements[0]


def _class(label: float | int | bool | bytes, classes: Sequence[str]) -> str:
    """The class behind a label, a name in UTF-8 or a position; any name, where no classes are known."""
    if isinstance(label, bytes):
        try:
            name = label.decode()
        except UnicodeDecodeError as error:
            raise StepFailed("a label is not UTF-8", code="MALFORMED_OUTPUT") from error
        if name and (not classes or name in classes):
            return name
    elif isinstance(label, float | bool):
        raise StepFailed("a label is a text or an integer", code="MALFORMED_OUTPUT")
    elif 0 <= label < len(classes):
        return classes[label]
    raise StepFailed(f"{label!r:.80} is none of the classes", code="UNKNOWN_CLASS")


def _finite(value: float | int | bool | bytes) -> float:
    if isinstance(value, bytes | bool):
        raise StepFailed("a confidence is a number", code="MALFORMED_OUTPUT")
    try:
        number = float(value)
    except OverflowError as error:  # JSON knows integers without end
        raise StepFailed("a confidence is beyond every number", code="OUT_OF_RANGE") from error
    if not math.isfinite(number):
        raise StepFailed(f"a confidence is {number}", code="NOT_FINITE")
    return number


def _probability(value: float | int | bool | bytes) -> float:
    number = _finite(value)
    if -evidence.ROUNDING <= number <= 1.0 + evidence.ROUNDING:
        return min(1.0, max(0.0, number))
    raise StepFailed(f"a confidence is {number}", code="OUT_OF_RANGE")
