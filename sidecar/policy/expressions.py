"""Conditions in CEL and patterns in RE2, and the one place that knows which packages evaluate them.

CEL is evaluated by cel-expr-python 0.1.3 (Apache-2.0), the CEL project's own wrapper of its C++ engine. Of the
three candidates it alone has a type checker, and so it alone can refuse `category == 1`, an unknown
variable or a result that is no truth value while the policy loads. Measured on two cores, Python 3.11:

* cel-expr-python 0.1.3: 3 us to bind the values and 3 us to evaluate, import 20 ms and 6 MB, 14 MB on disk,
  no dependency; wheels for CPython 3.11 to 3.13 on Linux (glibc 2.28, x86_64 and aarch64) and macOS.
* common-expression-language 0.10.0 (Rust): 31 us, import 0.7 s and 28 MB, since it brings typer and rich;
  type errors and unknown variables come out only when an expression is evaluated.
* cel-python 0.5.0 (pure Python): 750 us, import 0.4 s; they too come out only then.

Evaluation is bounded and cannot do I/O. Of CEL's macros only `has` exists here, so there is no loop (one of
concatenations took seconds and gigabytes); a text has at most `MAX_CHARACTERS`; the parser refuses more
than 32 levels; a pattern of `matches` is a literal within the bounds of `compile_pattern`; the values have at most
`MAX_INPUT_CHARACTERS` together.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import re2  # type: ignore[import-untyped]  # it has neither stubs nor the marker py.typed
from cel_expr_python import cel  # type: ignore[import-untyped]  # its stubs come without the marker py.typed

from calibrators.errors import TruebandError

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

MAX_PATTERN_CHARACTERS = 1000
MAX_INSTRUCTIONS = 1000
"""RE2's own measure of a compiled pattern. Time is at worst text times this: on 64 KiB of hostile text a tenth
of a millisecond was measured for a list of words, two seconds for the worst pattern that is still let in."""


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
            ValueError: it is too long, malformed, reads an unknown variable, mixes types (beside a confidence a
                number is written 1.0, not 1), gives no truth value, or has a pattern that is not let in.
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
        serialized = compiled.serialize()
        if _mixes_numbers(serialized):
            raise ValueError(
                f"{text!r}: the numbers among the attributes have a decimal point, and CEL calculates with one kind of "
                "number: write 1.0, not 1, beside an attribute"
            )
        instructions = 0
        for pattern in _patterns_in(serialized):
            if pattern is None:
                raise ValueError(f"{text!r}: the pattern of matches() must be a literal text")
            instructions += compile_pattern(pattern).instructions
        if instructions > MAX_INSTRUCTIONS:
            raise ValueError(f"{text!r}: its patterns are too large together: use fewer counted repetitions")
        return Expression(text, compiled)

    def bind(self, values: Mapping[str, Value]) -> Bound:
        """Values for evaluation; a variable whose value is None fails the conditions that need it.

        Raises:
            EvaluationFailed: INPUT_TOO_LARGE, or a text is not UTF-8.
        """
        present = {name: values[name] for name in self._names if values.get(name) is not None}
        if sum(_length(value) for value in present.values()) > MAX_INPUT_CHARACTERS:
            raise EvaluationFailed(
                f"the values have more than {MAX_INPUT_CHARACTERS:,} characters", code="INPUT_TOO_LARGE"
            )
        try:
            return Bound(self._environment.Activation(present))
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


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled regular expression. Safe for all threads."""

    text: str
    instructions: int
    compiled: object

    def found_in(self, text: str) -> bool:
        """Whether the pattern matches anywhere in a text.

        Raises:
            UnicodeEncodeError: the text is no UTF-8.
        """
        return self.compiled.search(text) is not None  # type: ignore[attr-defined]


def compile_pattern(text: str, *, ignore_case: bool = False) -> Pattern:
    """The compiled pattern of a text: RE2, which cannot backtrack over what strangers wrote.

    Raises:
        ValueError: it is empty, too long, no RE2 syntax (which has no look-around and no back-references), or
            compiles to a program that is too large, as counted repetitions of repetitions do.
    """
    if not text or len(text) > MAX_PATTERN_CHARACTERS:
        raise ValueError(f"a pattern has 1 to {MAX_PATTERN_CHARACTERS:,} characters, not {len(text):,}")
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    try:
        compiled = re2.compile(text, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f"{text!r} is no RE2 pattern: {_pattern_error(error)}") from error
    if compiled.programsize > MAX_INSTRUCTIONS:
        raise ValueError(
            f"pattern {text!r} compiles to {compiled.programsize:,} instructions, more than "
            f"{MAX_INSTRUCTIONS:,}: use fewer or smaller counted repetitions"
        )
    return Pattern(text, compiled.programsize, compiled)


def _pattern_error(error: Exception) -> str:
    # RE2 hands its reason over as bytes.
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


# The engine tells a condition's syntax tree as a serialized protocol buffer alone: `google.protobuf.Any` with a
# `cel.expr.CheckedExpr`. These are the field numbers on the way to the patterns, from checked.proto and
# syntax.proto of github.com/google/cel-spec. They are read here, in forty lines, since a generated module would
# bring its 150 lines of proto and the protobuf runtime into the room that knows no wire.
ANY_VALUE = 2
CHECKED_EXPR = 4
CONST, SELECT, CALL, LIST, STRUCT = 3, 5, 6, 7, 8
CONST_STRING = 6
INTEGER_TAGS = (3 << 3, 4 << 3)  # int64_value and uint64_value of a constant, as varints
ARITHMETIC = (b"_+_", b"_-_", b"_*_", b"_/_", b"_%_")
SELECT_OPERAND = 1
CALL_TARGET, CALL_FUNCTION, CALL_ARGUMENT = 1, 2, 3
LIST_ELEMENT = 1
STRUCT_ENTRY = 2
ENTRY_MAP_KEY, ENTRY_VALUE = 3, 4

PARTS = {
    SELECT: ((SELECT_OPERAND,),),
    CALL: ((CALL_TARGET,), (CALL_ARGUMENT,)),
    LIST: ((LIST_ELEMENT,),),
    STRUCT: ((STRUCT_ENTRY, ENTRY_MAP_KEY), (STRUCT_ENTRY, ENTRY_VALUE)),
}
"""The paths to the expressions that an expression of each kind is made of. A comprehension is missing: only a
macro makes one, and of those only `has` exists here."""


def _patterns_in(serialized: bytes) -> Iterator[str | None]:
    """The literal pattern of every call of `matches` in a compiled condition; None for one that is no literal."""
    for checked in _at(serialized, ANY_VALUE, CHECKED_EXPR):
        yield from _walk(checked)


def _mixes_numbers(serialized: bytes) -> bool:
    """Whether a compiled condition calculates with an attribute and an integer literal, which always fails."""
    return any(_mixed(checked) for checked in _at(serialized, ANY_VALUE, CHECKED_EXPR))


def _mixed(expression: bytes) -> bool:
    for call in _at(expression, CALL):
        if any(name in ARITHMETIC for name in _at(call, CALL_FUNCTION)):
            arguments = list(_at(call, CALL_ARGUMENT))
            if any(map(_is_integer, arguments)) and any(map(_is_attribute, arguments)):
                return True
    parts = (part for kind, paths in PARTS.items() for path in paths for part in _at(expression, kind, *path))
    return any(map(_mixed, parts))


def _is_integer(expression: bytes) -> bool:
    return any(constant[:1] and constant[0] in INTEGER_TAGS for constant in _at(expression, CONST))


def _is_attribute(expression: bytes) -> bool:
    if any(True for _ in _at(expression, SELECT)):
        return True
    for call in _at(expression, CALL):
        names = list(_at(call, CALL_FUNCTION))
        if b"_[_]" in names:
            return True
        if any(name in (*ARITHMETIC, b"-_") for name in names):
            return any(map(_is_attribute, _at(call, CALL_ARGUMENT)))
    return False


def _walk(expression: bytes) -> Iterator[str | None]:
    for call in _at(expression, CALL):
        if b"matches" in _at(call, CALL_FUNCTION):
            # `a.matches(b)` has a target and an argument, `matches(a, b)` two arguments.
            texts = list(_at(list(_at(call, CALL_ARGUMENT))[-1], CONST, CONST_STRING))
            yield texts[-1].decode() if texts else None
    for kind, paths in PARTS.items():
        for path in paths:
            for part in _at(expression, kind, *path):
                yield from _walk(part)


def _at(message: bytes, *path: int) -> Iterator[bytes]:
    """What stands at a path of field numbers in a message, each time that it stands there."""
    if not path:
        yield message
        return
    for number, part in _fields(message):
        if number == path[0]:
            yield from _at(part, *path[1:])


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a protocol buffer message; others are skipped."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == 0:
            _, position = _varint(message, position)
        elif wire_type == 2:
            length, position = _varint(message, position)
            yield key >> 3, message[position : position + length]
            position += length
        else:
            position += 8 if wire_type == 1 else 4


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position
