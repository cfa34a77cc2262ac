"""Conditions in CEL, and the one place that knows which package evaluates them.

The package is cel-expr-python 0.1.3 (Apache-2.0), the CEL project's own wrapper of its C++ engine. Of the
three candidates it alone has a type checker, and so it alone can refuse `category == 1`, an unknown
variable or a result that is no truth value while the policy loads. Measured on two cores, Python 3.11:

* cel-expr-python 0.1.3: 3 us to bind the values and 3 us to evaluate, import 20 ms and 6 MB, 14 MB on disk,
  no dependency; wheels for CPython 3.11 to 3.13 on Linux (glibc 2.28, x86_64 and aarch64) and macOS.
* common-expression-language 0.10.0 (Rust): 31 us, import 0.7 s and 28 MB, since it brings typer and rich;
  type errors and unknown variables come out only when an expression is evaluated.
* cel-python 0.5.0 (pure Python): 750 us, import 0.4 s; they too come out only then.

Evaluation is bounded and cannot do I/O. Of CEL's macros only `has` exists here, so there is no loop (one of
concatenations took seconds and gigabytes); a text has at most `MAX_CHARACTERS`; the parser refuses more
than 32 levels; a pattern of `matches` is a literal within the bounds of `patterns`; the values have at most
`MAX_INPUT_CHARACTERS` together.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cel_expr_python import cel  # type: ignore[import-untyped]  # its stubs come without the marker py.typed

from calibrators.errors import TruebandError
from sidecar.policy import pattern_literals, patterns

MAX_CHARACTERS = 2000
MAX_INPUT_CHARACTERS = 65_536

VariableType = Literal["text", "number", "attributes"]
Value = str | float | Mapping[str, str | float | bool] | None

RULE_VARIABLES: Mapping[str, VariableType] = {
    "category": "text",
    "predicted_class": "text",
    "raw_confidence": "number",
    "calibrated_confidence": "number",
    "attributes": "attributes",
}

ENVIRONMENT = "stdlib:\n  include_macros:\n    - has\n"
TYPES = {
    "text": cel.Type.STRING,
    "number": cel.Type.DOUBLE,
    "attributes": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
}


class EvaluationFailed(TruebandError):
    """The condition has no truth value for these inputs; `code` says why.

    VALUE_MISSING: it reads an attribute, or a confidence, that is not there; `has(attributes.x) && ...`
    guards it. INPUT_TOO_LARGE: the values are longer than is evaluated. EVALUATION_ERROR: anything else,
    such as an order between a text and a number, or a division by zero.
    """

    code = "EVALUATION_ERROR"

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.__dict__["code"] = code


@dataclass(frozen=True, slots=True)
class Bound:
    """Values, converted once for all the conditions of one request."""

    activation: object


class Expression:
    """A compiled condition. Safe for all threads."""

    __slots__ = ("_compiled", "text")

    def __init__(self, text: str, compiled: object) -> None:
        self.text = text
        self._compiled = compiled

    def evaluate(self, values: Bound) -> bool:
        """The truth value for bound values.

        As CEL defines it, `a || b` is true if one side is, even where the other one fails.

        Raises:
            EvaluationFailed: there is none.
        """
        try:
            result = self._compiled.eval(values.activation)  # type: ignore[attr-defined]
            value = result.plain_value()
        except Exception as error:
            raise EvaluationFailed(f"{self.text}: {error}", code="EVALUATION_ERROR") from error
        if value is True or value is False:
            return value
        missing = isinstance(value, str) and ("NOT_FOUND:" in value or "No value with name" in value)
        raise EvaluationFailed(
            f"{self.text}: {value}", code="VALUE_MISSING" if missing else "EVALUATION_ERROR"
        )


class Language:
    """CEL over a closed set of variables."""

    def __init__(self, variables: Mapping[str, VariableType]) -> None:
        self._names = tuple(variables)
        self._environment = cel.NewEnv(
            config=cel.NewEnvConfigFromYaml(ENVIRONMENT),
            variables={name: TYPES[kind] for name, kind in variables.items()},
        )

    def compile(self, text: str) -> Expression:
        """The compiled condition.

        Raises:
            ValueError: it is too long, malformed, reads an unknown variable, mixes types (beside a
            confidence a
                number is written 1.0, not 1), gives no truth value, or has a pattern that `patterns` refuses.
        """
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"a condition has at most {MAX_CHARACTERS:,} characters, not {len(text):,}")
        try:
            compiled = self._environment.compile(text)
        except Exception as error:
            raise ValueError(f"{text!r} is no condition: {_first_line(error)}") from error
        kind = compiled.return_type()
        if kind != cel.Type.BOOL:
            raise ValueError(
                f"{text!r} is a {str(kind.name()).lower()}, not a condition: compare it, as in "
                "attributes.x == true"
            )
        instructions = 0
        for pattern in pattern_literals.find(compiled.serialize()):
            if pattern is None:
                raise ValueError(f"{text!r}: the pattern of matches() must be a literal text")
            instructions += patterns.compile_pattern(pattern).instructions
        if instructions > patterns.MAX_INSTRUCTIONS:
            raise ValueError(f"{text!r}: its patterns are too large together: use fewer counted repetitions")
        return Expression(text, compiled)

    def bind(self, values: Mapping[str, Value]) -> Bound:
        """Values for evaluation; a variable whose value is None fails the conditions that need it.

        Raises:
            EvaluationFailed: INPUT_TOO_LARGE, or a text is not UTF-8.
        """
        given = {name: values[name] for name in self._names if values.get(name) is not None}
        if sum(_length(value) for value in given.values()) > MAX_INPUT_CHARACTERS:
            raise EvaluationFailed(
                f"the values have more than {MAX_INPUT_CHARACTERS:,} characters", code="INPUT_TOO_LARGE"
            )
        try:
            return Bound(self._environment.Activation(given))
        except Exception as error:
            raise EvaluationFailed(f"the values cannot be bound: {error}", code="EVALUATION_ERROR") from error


@functools.cache
def rule_language() -> Language:
    """CEL over what a rule of the fallback chain may ask about."""
    return Language(RULE_VARIABLES)


def _length(value: Value) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(name) + (len(item) if isinstance(item, str) else 0) for name, item in value.items())
    return 0


def _first_line(error: Exception) -> str:
    return str(error).removeprefix("INVALID_ARGUMENT: ERROR: ").splitlines()[0]
