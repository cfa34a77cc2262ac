"""Category names: one normal form, and the categories that always need a person."""

import functools
import re
import unicodedata

ALWAYS_MANDATORY = frozenset({"legal_language", "pricing", "account_strategy"})
"""Mandatory in every policy, named there or not. A policy can add to them, never take away."""


@functools.lru_cache(maxsize=4096)
def normalise(name: str) -> str:
    """The normal form of a category name: `Legal-Language `, `legal language` and `LEGAL_LANGUAGE` are one.

    Unicode NFKC, case folded, runs of white space, hyphens and underscores to one underscore. Characters
    that have no width are dropped, since they would let a mandatory category look like another one.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    visible = "".join(
        character
        for character in folded
        if character.isspace() or unicodedata.category(character) not in ("Cf", "Cc")
    )
    return re.sub(r"[\s_\-\u2010-\u2015]+", "_", visible).strip("_")
