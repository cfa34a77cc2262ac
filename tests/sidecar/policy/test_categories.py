"""One category has one name, however it is spelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy import categories


@pytest.mark.parametrize(
    "spelling",
    [
        "legal_language",
        "Legal-Language ",
        "LEGAL LANGUAGE",
        "\tlegal \u2013 language\n",
        "legal\u00a0language",
        "legal\u2212language",
        "\uff4c\uff45\uff47\uff41\uff4c\uff3flanguage",
        "l\u200bega\u00adl_language",
        "legal_language\ufe0f",
        "\u2060legal_lan\u034fguage\ufeff",
        "_legal__language_",
        "legal\x1flanguage",
        "le\x00gal_language",
        "\U0001d5c5egal_language",
    ],
)
def test_legal_language_is_known_in_every_dress(spelling):
    assert categories.normalise(spelling) == "legal_language"


@pytest.mark.parametrize(
    "spelling", ["PR\u0130C\u0130NG", "pr\u0131c\u0131ng", "Pricing", "pri\u0307ci\u0307ng", "\uff30RICING"]
)
def test_a_turkish_locale_does_not_hide_pricing(spelling):
    assert categories.normalise(spelling) == "pricing"


@pytest.mark.parametrize("spelling", ["", " ", "\u200b", "__", "\x00", "\u3164", " - "])
def test_what_shows_nothing_is_no_name(spelling):
    assert categories.normalise(spelling) == ""


def test_different_names_stay_different():
    names = ["pricing", "prices", "pricing_eu", "größe", "grosse", "价格", "q3", "q_3", "a.b", "a/b"]
    assert len({categories.normalise(name) for name in names}) == len(names)
    assert categories.normalise("GRÖSSE") == categories.normalise("größe")


@given(st.text(max_size=12))
def test_normalising_twice_changes_nothing(name):
    once = categories.normalise(name)
    assert categories.normalise(once) == once


@given(
    st.text(
        alphabet=st.sampled_from("aeiI\u0130\u0131\u0301\u0307\u0308\u200b\u034f\ufe0f _-ßſﬁ"), max_size=8
    )
)
def test_accents_and_what_cannot_be_seen_normalise_once_for_all(name):
    once = categories.normalise(name)
    assert categories.normalise(once) == once
    assert categories.normalise(f"\u200b{name}\u00ad") == once


def test_the_built_in_categories_are_in_normal_form():
    assert {categories.normalise(name) for name in categories.ALWAYS_MANDATORY} == categories.ALWAYS_MANDATORY
    assert {"legal_language", "pricing", "account_strategy"} == categories.ALWAYS_MANDATORY
