"""How a policy describes a secondary model: where it is, what it is fed, and how its output is read."""

import math
import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from calibrators.evidence import EvidenceKind
from sidecar.policy.fields import Strict, Word, as_tuple

Datatype = Literal[
    "BOOL",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "FP32",
    "FP64",
    "BYTES",
]
LARGEST_FP32 = 3.4028234663852886e38
SOURCE = re.compile(r"(attributes|context)\..+|category|predicted_class|raw_confidence", re.DOTALL)
MAX_ELEMENTS = 4096

Scalar = bool | int | float | str
Scalars = Annotated[
    tuple[Scalar, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=MAX_ELEMENTS)
]
Sources = Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=MAX_ELEMENTS)]
Shape = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MAX_ELEMENTS)], ...],
    BeforeValidator(as_tuple),
    Field(min_length=1, max_length=8),
]


def address(value: str) -> str:
    """The address, if it is one.

    Raises:
        ValueError: it is neither HOST:PORT nor unix:PATH.
    """
    if value.startswith("unix:"):
        if len(value) > len("unix:"):
            return value
    else:
        host, separator, port = value.rpartition(":")
        if separator and host and "/" not in host and port.isdecimal() and 1 <= int(port) <= 65535:
            return value
    raise ValueError(f"{value!r} is no address: write HOST:PORT or unix:PATH")


def element(value: Scalar, datatype: Datatype) -> Scalar:
    """A value as an element of a tensor, without loss of meaning: a number is no text, 1.5 is no integer.

    Raises:
        ValueError: it is of another type, or outside the range of the datatype.
    """
    if datatype == "BYTES":
        if isinstance(value, str):
            return value
    elif datatype == "BOOL":
        if isinstance(value, bool):
            return value
    elif not isinstance(value, bool | str) and math.isfinite(value):
        if datatype in ("FP32", "FP64"):
            if datatype == "FP64" or abs(value) <= LARGEST_FP32:
                return float(value)
        elif value == int(value):
            bits = int(datatype.removeprefix("U").removeprefix("INT"))
            lowest, highest = (
                (0, 2**bits - 1) if datatype[0] == "U" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            )
            if lowest <= value <= highest:
                return int(value)
    raise ValueError(f"{value!r:.80} is no {datatype}")


class Input(Strict):
    """One input tensor: elements from the request (`from`), or constants (`value`).

    A source is `attributes.NAME`, `context.NAME`, `category`, `predicted_class` or `raw_confidence`. A list
    of sources makes one tensor of several elements. Where `shape` is left out, one element has shape [1],
    and a list [1, n], as one row of a table. `content_type` is the hint by which MLServer picks a codec.
    """

    name: Word
    datatype: Datatype
    from_: str | Sources | None = Field(None, alias="from")
    value: Scalar | Scalars | None = None
    shape: Shape | None = None
    content_type: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.from_ is None) == (self.value is None):
            raise ValueError("needs either `from` or `value`")
        for source in self.sources:
            if not SOURCE.fullmatch(source):
                raise ValueError(
                    f"{source!r} is no source: write attributes.NAME, context.NAME, category, "
                    "predicted_class or raw_confidence"
                )
        for constant in self.constants:
            element(constant, self.datatype)
        if self.shape is not None and math.prod(self.shape) != self.element_count:
            raise ValueError(f"shape {list(self.shape)} does not hold {self.element_count} elements")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of the elements; empty where they are constants."""
        if self.from_ is None:
            return ()
        return (self.from_,) if isinstance(self.from_, str) else self.from_

    @property
    def constants(self) -> tuple[Scalar, ...]:
        """The constants; empty where the request feeds the tensor."""
        if self.value is None:
            return ()
        return self.value if isinstance(self.value, tuple) else (self.value,)

    @property
    def element_count(self) -> int:
        """How many elements the tensor has."""
        return len(self.sources) or len(self.constants)

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The shape, as given or as it follows."""
        if self.shape is not None:
            return self.shape
        single = isinstance(self.from_, str) or (self.value is not None and not isinstance(self.value, tuple))
        return (1,) if single else (1, self.element_count)


class VectorOutput(Strict):
    """One number for each class, in the order of `classes`.

    Triton answers so, and `predict_proba` of MLServer's scikit-learn runtime.
    """

    meaning: Literal["probabilities", "logits"]
    name: Word


class PositiveOutput(Strict):
    """The probability of the positive one of two classes, as a sigmoid layer gives it."""

    meaning: Literal["positive_probability"]
    name: Word
    positive_class: Word


class LabelAndScoreOutput(Strict):
    """Two tensors of one element: the class (by name, or position in `classes`), and the confidence in it."""

    meaning: Literal["label_and_score"]
    label: Word
    score: Word


class JsonOutput(Strict):
    """A text that is JSON `{"label": ..., "score": ...}`, or a list of those, of which the best one counts.

    MLServer's Hugging Face runtime answers so for a text classification.
    """

    meaning: Literal["json_label_and_score"]
    name: Word


Output = Annotated[
    VectorOutput | PositiveOutput | LabelAndScoreOutput | JsonOutput, Field(discriminator="meaning")
]


def evidence_kind(output: Output) -> EvidenceKind:
    """The kind of evidence that an output becomes."""
    if isinstance(output, VectorOutput):
        return output.meaning
    return "positive_probability" if isinstance(output, PositiveOutput) else "score"


class Tls(Strict):
    """PEM files: whom to trust (left out: the system's authorities), and who we are (both or neither)."""

    ca: str = ""
    certificate: str = ""
    key: str = ""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key go together")
        return self
