"""Regular expressions over text that strangers wrote: RE2, which cannot backtrack, within a bound of size."""

from dataclasses import dataclass

import re2  # type: ignore[import-untyped]  # it has neither stubs nor the marker py.typed

MAX_CHARACTERS = 1000
MAX_INSTRUCTIONS = 1000
"""RE2's own measure of a compiled pattern. Time is at worst text times this. Measured on 64 KiB of hostile
text: a tenth of a millisecond for a list of words, two seconds for the worst pattern that is still let
in."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern. Safe for all threads."""

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
    """The compiled pattern.

    Raises:
        ValueError: it is empty, too long, no RE2 syntax (which has no look-around and no back-references), or
            compiles to a program that is too large, as counted repetitions of repetitions do.
    """
    if not text or len(text) > MAX_CHARACTERS:
        raise ValueError(f"a pattern has 1 to {MAX_CHARACTERS:,} characters, not {len(text):,}")
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    try:
        compiled = re2.compile(text, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f"{text!r} is no RE2 pattern: {_reason(error)}") from error
    if compiled.programsize > MAX_INSTRUCTIONS:
        raise ValueError(
            f"pattern {text!r} compiles to {compiled.programsize:,} instructions, more than "
            f"{MAX_INSTRUCTIONS:,}: use fewer or smaller counted repetitions"
        )
    return Pattern(text, compiled.programsize, compiled)


def _reason(error: Exception) -> str:
    # RE2 hands its reason over as bytes.
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
