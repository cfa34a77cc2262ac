"""The calibrator as a document: JSON out, JSON in, bit for bit; nothing that fails a check comes in.

A document is one JSON object of at most 1 MiB with exactly these keys: `schema` (1), `kind`, `parameters`,
`epsilon`, `applies_to`, `fit` and `score_histogram` (null where unknown), `golden` (inputs, and the outputs
that its writer computed) and `digest` (over all the rest, see `calibrators.calibrator.canonical`).

Schema 2 has two keys more, at least one of which says something: `category_offsets` (an object from a
category, in the normal form that the sidecar gives it, to a number in [-5, 5] that is added to the logit of the
calibrated confidence) and `lower` (null, or `level`, `method`, `confidences` and `bounds`: the knots of a map
from a calibrated confidence to its lower confidence bound, see `calibrators.lower_curve`). Its `golden` also
has `categories`, one for each input, and `bounds`, one for each output where there is a `lower`, else none.
What carries neither is written in schema 1, with the digest that it always had.
"""

import json
from collections.abc import Sequence

from calibrators import admission, calibrator
from calibrators.applies_to import AppliesTo, matches
from calibrators.calibrator import Calibrator, Golden
from calibrators.errors import CalibratorRefused
from calibrators.fit import Fit
from calibrators.histogram import ScoreHistogram
from calibrators.lower_curve import LowerCurve

__all__ = [
    "MAX_BYTES",
    "AppliesTo",
    "Calibrator",
    "Fit",
    "Golden",
    "LowerCurve",
    "ScoreHistogram",
    "dumps",
    "loads",
    "matches",
]

MAX_BYTES = 1 << 20
GOLDEN_TOLERANCE = 1e-12


def dumps(value: Calibrator) -> str:
    """The document of a calibrator: ASCII JSON, one key a line, the same text for the same calibrator.

    Raises:
        CalibratorRefused: DOCUMENT_TOO_LARGE (an isotonic map of some 20,000 knots), as nobody could load it.
    """
    document = {**calibrator.body(value), "digest": value.digest}
    lines = [f" {json.dumps(key)}: {json.dumps(part, allow_nan=False)}" for key, part in document.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    _require_size(len(text))
    return text


def loads(text: str | bytes) -> Calibrator:
    """The calibrator of a document, after every check that keeps a bad one out.

    Raises:
        CalibratorRefused: with a `code` of its own for each reason: DOCUMENT_TOO_LARGE, DOCUMENT_MALFORMED
            (not JSON, a wrong type, an unknown or missing key), SCHEMA_UNKNOWN, KIND_UNKNOWN, NOT_FINITE,
            NOT_MONOTONE, OUT_OF_RANGE, DIGEST_MISMATCH (the document was altered), GOLDEN_MISMATCH (this
            machine computes something else than the document's writer did).
    """
    _require_size(len(text) if isinstance(text, bytes) else len(text.encode(errors="surrogatepass")))
    document = admission.parse(text)
    value = admission.calibrator(document)
    if document["digest"] != value.digest:
        raise CalibratorRefused(
            f"digest is {document['digest']!r:.80}, but the document's content has {value.digest}: "
            "it was altered after it was written; write it again with calibrators.dumps",
            code="DIGEST_MISMATCH",
        )
    _require_golden(value)
    return value


def _require_size(size: int) -> None:
    if size > MAX_BYTES:
        raise CalibratorRefused(
            f"the document has {size} bytes, more than the {MAX_BYTES} that are accepted: "
            "an isotonic map needs fewer knots",
            code="DOCUMENT_TOO_LARGE",
        )


def _flat(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _require_golden(value: Calibrator) -> None:
    golden = value.golden
    categories = golden.categories or ("",) * len(golden.inputs)
    pairs = zip(golden.inputs, categories, strict=True)
    computed = [value.apply_one(given, category) for given, category in pairs]
    _require_same(value, "outputs", computed, golden.outputs)
    if value.lower is not None:
        # Of what was recorded, so that a difference in the last bit is not there twice.
        bounds = [
            tuple([value.lower.one(each, value.epsilon) for each in _flat(output)])
            for output in golden.outputs
        ]
        _require_same(value, "bounds", bounds, golden.bounds)


def _require_same(
    value: Calibrator,
    key: str,
    computed: Sequence[float | tuple[float, ...]],
    recorded: Sequence[float | tuple[float, ...]],
) -> None:
    for position, (own, other) in enumerate(zip(computed, recorded, strict=True)):
        for mine, theirs in zip(_flat(own), _flat(other), strict=True):
            if not value.epsilon <= theirs <= 1.0 - value.epsilon:
                raise CalibratorRefused(
                    f"golden.{key}[{position}] is {theirs}, outside [epsilon, 1 - epsilon]",
                    code="OUT_OF_RANGE",
                )
            if abs(mine - theirs) > GOLDEN_TOLERANCE:
                raise CalibratorRefused(
                    f"golden.{key}[{position}] is {theirs}, but this machine computes {mine} for "
                    f"{value.golden.inputs[position]}: "
                    "the map was written by other software; fit it again",
                    code="GOLDEN_MISMATCH",
                )
