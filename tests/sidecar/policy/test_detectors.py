import sys
import unicodedata
from typing import Any

import pydantic
import pytest

from sidecar.policy import detectors, expressions
from sidecar.policy.actions import PERSON_ACTIONS, Action, Reason
from sidecar.policy.detectors import CompiledDetector, Detectors

ADAPTER: pydantic.TypeAdapter[tuple[detectors.Detector, ...]] = pydantic.TypeAdapter(Detectors)
LEGAL = {
    "name": "lawsuit",
    "category": "Legal Language",
    "fields": ["text"],
    "pattern": r"\b(sue|attorney)\b",
}


def compiled(*entries: dict[str, Any]) -> tuple[CompiledDetector, ...]:
    return detectors.compile_detectors(ADAPTER.validate_python(list(entries)))


def test_a_hit_leaves_only_what_a_person_decides() -> None:
    (hit,) = detectors.hits(compiled(LEGAL), {"text": "We will Sue you."})
    assert hit.floor == "detector:lawsuit:legal_language"
    assert hit.reason is Reason.DETECTOR
    assert frozenset(hit.permitted) == PERSON_ACTIONS
    assert Action.REJECT not in hit.permitted


@pytest.mark.parametrize(
    ("context", "found"),
    [
        ({"text": "see my attorney"}, True),
        ({"text": "issue resolved"}, False),
        ({"subject": "see my attorney"}, False),
        ({"text": ""}, False),
        ({}, False),
        ({"text": "see my \uff41ttorney"}, True),
        ({"text": "see my att\u200borney"}, True),
        ({"text": "see my att\u00adorney"}, True),
        ({"text": "naïve — we will sue"}, True),
        ({"text": "broken \ud800 text"}, True),
        ({"text": "line one\nattorney"}, True),
    ],
)
def test_what_is_found(context: dict[str, str], found: bool) -> None:
    assert bool(detectors.hits(compiled(LEGAL), context)) is found


def test_no_character_that_cannot_be_seen_hides_a_word() -> None:
    """All code points: controls, format characters, and what Unicode lists as Default_Ignorable_Code_Point."""
    ignorable = {
        0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0,
        *range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070),
        *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B),
        *range(0xE0000, 0xE1000),
    }  # fmt: skip
    lawsuit = compiled(LEGAL)
    missed = [
        hex(number)
        for number in range(sys.maxunicode + 1)
        if (number in ignorable or unicodedata.category(chr(number)) in ("Cf", "Cc"))
        and chr(number) not in "\t\n\r"
        and not detectors.hits(lawsuit, {"text": f"see my att{chr(number)}orney"})
    ]
    assert missed == []


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("page one\x0catt\u200borney", r"\battorney\b"),  # one parts words, the other hides in one
        ("PR\u0130C\u0130NG", "pricing"),
        ("pr\u0131c\u0131ng", "pricing"),
        ("STRASSE", "stra(ss|\u00df)e"),
        ("caf\u0065\u034f\u0301", "caf\u00e9"),
    ],
)
def test_words_are_folded_as_categories_are(text: str, pattern: str) -> None:
    assert detectors.hits(compiled({**LEGAL, "pattern": pattern}), {"text": text})


def test_case_is_not_folded_where_it_counts() -> None:
    exact = compiled({**LEGAL, "pattern": "nda", "ignore_case": False})
    assert not detectors.hits(exact, {"text": "the N\u200bDA"})


def test_without_fields_the_whole_context_is_looked_at() -> None:
    everywhere = {key: value for key, value in LEGAL.items() if key != "fields"}
    assert detectors.hits(compiled(everywhere), {"subject": "hello", "body": "my attorney"})


def test_case_counts_where_the_policy_says_so() -> None:
    exact = compiled({**LEGAL, "pattern": "NDA", "ignore_case": False})
    assert detectors.hits(exact, {"text": "the NDA"})
    assert not detectors.hits(exact, {"text": "the panda"})


def test_every_detector_that_hits_is_named_once_and_in_order() -> None:
    both = compiled(
        LEGAL,
        {**LEGAL, "name": "price", "category": "pricing", "pattern": "price", "fields": ["text", "body"]},
    )
    hits = detectors.hits(both, {"text": "sue over the price, price", "body": "price"})
    assert [hit.floor for hit in hits] == ["detector:lawsuit:legal_language", "detector:price:pricing"]


@pytest.mark.parametrize(
    ("change", "key", "complaint"),
    [
        ({"pattern": "("}, "", "no RE2 pattern: missing )"),
        ({"pattern": r"(a)\1"}, "", "no RE2 pattern"),
        ({"pattern": "(?=a)b"}, "", "no RE2 pattern"),
        ({"pattern": "(a{1,30}){1,33}"}, "", "fewer or smaller counted repetitions"),
        ({"pattern": "a" * 1001}, "", "1 to 1,000 characters"),
        ({"pattern": ""}, "", "1 to 1,000 characters"),
        ({"pattern": "a*"}, "", "matches an empty text"),
        ({"category": " - "}, "", "empty name"),
        ({"name": "Lawsuit"}, "name", "pattern"),
        ({"field": "text"}, "field", "Extra inputs"),
        ({"fields": ["text", ""]}, "fields", "at least 1 character"),
    ],
)
def test_a_bad_detector_is_refused_by_its_key(change: dict[str, Any], key: str, complaint: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        ADAPTER.validate_python([{**LEGAL, "name": "fine"}, {**LEGAL, **change}])
    (mistake,) = caught.value.errors()
    assert mistake["loc"][0] == 1
    assert key in mistake["loc"][1:] or not key
    assert complaint in mistake["msg"]


def test_two_detectors_of_one_name_are_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="two detectors have the name 'lawsuit'"):
        ADAPTER.validate_python([LEGAL, LEGAL])


def test_hostile_text_does_not_make_a_pattern_backtrack() -> None:
    # Exponential for a backtracking engine: it would not come back before the test's time limit.
    (hit,) = detectors.hits(compiled({**LEGAL, "pattern": "(a+)+$"}), {"text": "a" * 65_000})
    assert hit.reason is Reason.DETECTOR
    assert not detectors.hits(compiled({**LEGAL, "pattern": "^(a+)+$"}), {"text": "a" * 65_000 + "b"})


def test_the_text_survives_a_round_trip_through_the_canonical_form() -> None:
    given = ADAPTER.validate_python([LEGAL])
    assert ADAPTER.validate_python(ADAPTER.dump_python(given, mode="json", by_alias=True)) == given


def test_a_pattern_knows_its_size() -> None:
    small, large = expressions.compile_pattern("a"), expressions.compile_pattern("a{500}")
    assert small.instructions < 20 < 500 < large.instructions <= expressions.MAX_INSTRUCTIONS
