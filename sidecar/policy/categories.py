"""Category names: one normal form, and the categories that always need a person."""

import functools
import re
import unicodedata

ALWAYS_MANDATORY = frozenset({"legal_language", "pricing", "account_strategy"})
"""Mandatory in every policy, named there or not. A policy can add to them, never take away."""

_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
    "\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point of the Unicode Character Database, which Python's module does not tell, and what is
of its categories Cf and Cc and no white space."""

_TURKISH = re.compile("i\u0307+|\u0131")
_SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015\u2212]+")


@functools.lru_cache(maxsize=4096)
def normalise(name: str) -> str:
    """The normal form of a category name: `Legal-Language `, `legal language` and `LEGAL_LANGUAGE` are one.

    Unicode NFKC, case folded, runs of white space, hyphens and underscores to one underscore. Characters
    that cannot be seen are dropped, since they would let a mandatory category pass for another one; and the
    Turkish i's are one with the others, since `"pricing".toUpperCase()` is `PRİCİNG` in a Turkish locale.
    """
    return _SEPARATORS.sub("_", folded(name)).strip("_")


def visible(text: str) -> str:
    """A text in NFKC without what cannot be seen, which would let a word in it pass for another one."""
    # Once more, as dropping a character can bring a letter and its accent together.
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)))


def folded(text: str) -> str:
    """A text as names are compared, letter by letter: visible, case folded, the Turkish i's one with the others."""
    # Twice, as dropping a character can bring a letter and its accent together.
    return _fold(_fold(text))


def _fold(name: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return unicodedata.normalize("NFKC", _TURKISH.sub("i", _INVISIBLE.sub("", folded)))
