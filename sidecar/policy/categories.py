"""Category names: one normal form, and the categories that always need a person."""

import functools
import re
import unicodedata

ALWAYS_MANDATORY = frozenset({"legal_language", "pricing", "account_strategy"})
"""Mandatory in every policy, named there or not. A policy can add to them, never take away."""

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point of the Unicode Character Database, which Python's module does not tell."""

_TURKISH = re.compile("i\u0307+|\u0131")
_SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015\u2212]+")


@functools.lru_cache(maxsize=4096)
def normalise(name: str) -> str:
    """The normal form of a category name: `Legal-Language `, `legal language` and `LEGAL_LANGUAGE` are one.

    Unicode NFKC, case folded, runs of white space, hyphens and underscores to one underscore. Characters
    that cannot be seen are dropped, since they would let a mandatory category pass for another one; and the
    Turkish i's are one with the others, since `"pricing".toUpperCase()` is `PRİCİNG` in a Turkish locale.
    """
    # Twice, as dropping a character can bring a letter and its accent together.
    return _SEPARATORS.sub("_", _fold(_fold(name))).strip("_")


def _fold(name: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    visible = "".join(
        character
        for character in _INVISIBLE.sub("", folded)
        if character.isspace() or unicodedata.category(character) not in ("Cf", "Cc")
    )
    return unicodedata.normalize("NFKC", _TURKISH.sub("i", visible))
