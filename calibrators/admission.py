"""From JSON text to a calibrator, refusing whatever does not belong, by the name of its key."""

import json

from calibrators import checks
from calibrators.applies_to import AppliesTo
from calibrators.calibrator import SCHEMAS, Calibrator, Golden, Map
from calibrators.errors import CalibratorRefused
from calibrators.fit import Fit
from calibrators.histogram import ScoreHistogram
from calibrators.isotonic import Isotonic
from calibrators.lower_curve import LowerCurve
from calibrators.maps import Beta, Constant, Identity, Platt, Temperature, VectorTemperature

JsonObject = dict[str, object]

KEYS = ("schema", "kind", "parameters", "epsilon", "applies_to", "fit", "score_histogram", "golden", "digest")
LATER_KEYS = ("category_offsets", "lower")
"""Of the second schema only."""

LOWER_KEYS = ("level", "method", "confidences", "bounds")
APPLIES_TO_KEYS = ("model", "model_versions", "source", "evidence", "aggregation", "answer", "criterion")
GOLDEN_KEYS = ("inputs", "outputs", "categories", "bounds")
FIT_KEYS = (
    *("n", "n_effective", "positives", "distinct"),
    *("window_from", "window_to", "data_digest", "note"),
)


def parse(text: str | bytes) -> JsonObject:
    """The JSON object in a text; a key that stands twice is refused, as two readers could differ about it.

    Raises:
        CalibratorRefused: DOCUMENT_MALFORMED.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        document: object = json.loads(decoded, object_pairs_hook=_object_of_pairs)
    except UnicodeDecodeError as error:
        raise _malformed(f"the document is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise _malformed(f"the document is not JSON: {error}") from error
    except RecursionError as error:
        raise _malformed("the document nests too deeply") from error
    except CalibratorRefused:
        raise
    except ValueError as error:  # an integer of more digits than Python converts
        raise _malformed(f"the document holds a number that cannot be read: {error}") from error
    return _object(document, "the document")


def calibrator(document: JsonObject) -> Calibrator:
    """The calibrator that a document describes; its digest and its golden vector are not compared here.

    Raises:
        CalibratorRefused: any code but DOCUMENT_TOO_LARGE, DIGEST_MISMATCH and GOLDEN_MISMATCH.
    """
    schema = document.get("schema")
    if type(schema) is not int or schema not in SCHEMAS:
        raise CalibratorRefused(
            f"schema is {schema!r:.80}: this version reads schemas {' and '.join(map(str, SCHEMAS))}",
            code="SCHEMA_UNKNOWN",
        )
    later = schema != 1
    _require_keys(document, (*KEYS, *LATER_KEYS) if later else KEYS, "")
    checks.text(document["digest"], "digest")
    mapping = _map(checks.text(document["kind"], "kind"), _object(document["parameters"], "parameters"))
    offsets = _offsets(document["category_offsets"]) if later else {}
    lower = _lower(document["lower"]) if later and document["lower"] is not None else None
    if later and not offsets and lower is None:
        raise _malformed(
            "schema is 2, but category_offsets and lower say nothing: without either write schema 1"
        )
    return Calibrator(
        mapping,
        epsilon=checks.number(document["epsilon"], "epsilon"),
        applies_to=None if document["applies_to"] is None else _applies_to(document["applies_to"]),
        fit=None if document["fit"] is None else _fit(document["fit"]),
        histogram=None if document["score_histogram"] is None else _histogram(document["score_histogram"]),
        category_offsets=offsets,
        lower=lower,
        golden=_golden(
            document["golden"],
            vectors=isinstance(mapping, VectorTemperature),
            later=later,
            bounded=lower is not None,
        ),
    )


def _map(kind: str, parameters: JsonObject) -> Map:
    def take(*keys: str) -> list[float]:
        _require_keys(parameters, keys, "parameters.")
        return [checks.number(parameters[key], f"parameters.{key}") for key in keys]

    def word(key: str, *permitted: str) -> str:
        checks.member(parameters.get(key), permitted, f"parameters.{key}")
        return str(parameters.pop(key))

    parameters = dict(parameters)
    match kind:
        case "identity":
            take()
            return Identity()
        case "constant":
            return Constant(*take("value"))
        case "temperature":
            scalar = word("input", "score", "logits") == "score"
            return Temperature(*take("temperature")) if scalar else VectorTemperature(*take("temperature"))
        case "platt":
            on = word("on", "logit", "raw")
            slope, intercept = take("slope", "intercept")
            return Platt(slope, intercept, "raw" if on == "raw" else "logit")
        case "beta":
            return Beta(*take("a", "b", "c"))
        case "isotonic":
            _require_keys(parameters, ("x", "y"), "parameters.")
            return Isotonic(
                _numbers(parameters["x"], "parameters.x"), _numbers(parameters["y"], "parameters.y")
            )
        case _:
            raise CalibratorRefused(
                f"kind is {kind!r:.80}: known are identity, temperature, platt, beta, isotonic, constant",
                code="KIND_UNKNOWN",
            )


def _applies_to(value: object) -> AppliesTo:
    part = _object(value, "applies_to", APPLIES_TO_KEYS)
    versions = part["model_versions"]
    if versions is not None:
        part["model_versions"] = tuple(_list(versions, "applies_to.model_versions"))
    return AppliesTo(**part)  # type: ignore[arg-type]  # the class checks each field


def _fit(value: object) -> Fit:
    return Fit(**_object(value, "fit", FIT_KEYS))  # type: ignore[arg-type]  # the class checks each field


def _histogram(value: object) -> ScoreHistogram:
    part = _object(value, "score_histogram", ("edges", "shares"))
    return ScoreHistogram(
        edges=_numbers(part["edges"], "score_histogram.edges"),
        shares=_numbers(part["shares"], "score_histogram.shares"),
    )


def _offsets(value: object) -> dict[str, float]:
    part = _object(value, "category_offsets")
    offsets = {
        name: checks.number(offset, f"category_offsets[{name!r:.80}]") for name, offset in part.items()
    }
    for name, offset in offsets.items():
        if offset == 0.0:
            raise _malformed(f"category_offsets[{name!r:.80}] is 0, which says nothing: leave it out")
    return offsets


def _lower(value: object) -> LowerCurve:
    part = _object(value, "lower", LOWER_KEYS)
    return LowerCurve(
        level=checks.number(part["level"], "lower.level"),
        method=checks.text(part["method"], "lower.method"),
        confidences=_numbers(part["confidences"], "lower.confidences"),
        bounds=_numbers(part["bounds"], "lower.bounds"),
    )


def _golden(value: object, *, vectors: bool, later: bool, bounded: bool) -> Golden:
    part = _object(value, "golden", GOLDEN_KEYS if later else GOLDEN_KEYS[:2])
    inputs, outputs = _list(part["inputs"], "golden.inputs"), _list(part["outputs"], "golden.outputs")
    if not inputs or len(inputs) != len(outputs):
        raise _malformed("golden.inputs and golden.outputs must be of one length, at least 1")
    categories = _list(part["categories"], "golden.categories") if later else []
    bounds = _list(part["bounds"], "golden.bounds") if later else []
    if later and len(categories) != len(inputs):
        raise _malformed("golden.categories must name the category of each input")
    if len(bounds) != (len(inputs) if bounded else 0):
        raise _malformed("golden.bounds must have one for each input where there is a lower curve, else none")
    names = tuple(
        [checks.text(name, f"golden.categories[{i}]", empty=True) for i, name in enumerate(categories)]
    )
    if not vectors:
        return Golden(
            inputs=tuple([checks.number(x, f"golden.inputs[{i}]", 0.0, 1.0) for i, x in enumerate(inputs)]),
            outputs=_numbers(outputs, "golden.outputs"),
            categories=names,
            bounds=_numbers(bounds, "golden.bounds"),
        )
    given = [_numbers(vector, f"golden.inputs[{i}]") for i, vector in enumerate(inputs)]
    recorded = [_numbers(vector, f"golden.outputs[{i}]") for i, vector in enumerate(outputs)]
    lowest = [_numbers(vector, f"golden.bounds[{i}]") for i, vector in enumerate(bounds)]
    for key, found in (("outputs", recorded), ("bounds", lowest)):
        for position, (vector, result) in enumerate(zip(given, found, strict=False)):
            if not vector or len(vector) != len(result):
                raise _malformed(f"golden.{key}[{position}] must be as long as its input, at least 1")
    return Golden(inputs=tuple(given), outputs=tuple(recorded), categories=names, bounds=tuple(lowest))


def _malformed(message: str) -> CalibratorRefused:
    return CalibratorRefused(message, code="DOCUMENT_MALFORMED")


def _object_of_pairs(pairs: list[tuple[str, object]]) -> JsonObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _malformed(f"the key {twice!r:.80} stands twice in one object")
    return result


def _object(value: object, key: str, keys: tuple[str, ...] | None = None) -> JsonObject:
    if not isinstance(value, dict):
        raise _malformed(f"{key} must be a JSON object")
    if keys is not None:
        _require_keys(value, keys, f"{key}.")
    return dict(value)


def _require_keys(part: JsonObject, keys: tuple[str, ...], prefix: str) -> None:
    for key in keys:
        if key not in part:
            raise _malformed(f"{prefix}{key} is missing")
    for key in part:
        if key not in keys:
            raise _malformed(f"{prefix}{key:.80} is unknown; known are {', '.join(keys) or 'none'}")


def _list(value: object, key: str) -> list[object]:
    if not isinstance(value, list):
        raise _malformed(f"{key} must be a JSON array")
    return value


def _numbers(value: object, key: str) -> tuple[float, ...]:
    return tuple([checks.number(x, f"{key}[{i}]") for i, x in enumerate(_list(value, key))])
