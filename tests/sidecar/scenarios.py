"""Scenarios: whatever a request, a policy, a calibrator and the state of the service can be."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st

from calibrators import (
    Beta,
    Constant,
    Evidence,
    Identity,
    Isotonic,
    LowerCurve,
    Map,
    Platt,
    Temperature,
    VectorTemperature,
)
from sidecar.decision.query import Query
from sidecar.policy.actions import Intent
from sidecar.service.deciding.decider import QueueHealth
from sidecar.service.registry import CalibratorInForce
from tests import builders

CLASSES = ("interested", "not_now", "unsubscribe")
BASE_NAMES = (
    "legal_language",
    "pricing",
    "account_strategy",
    "general",
    "refunds",
    "größe",
    "q3_2026",
    "other",
)
STRICT_ORDER = ("AUTO_ROUTE", "AUTO_ROUTE_FLAGGED", "HOLD_FOR_REVIEW", "ESCALATE", "REJECT")
INVISIBLE = ("", "", "\u200b", "\u00ad", "\ufe0f", "\u034f", "\u2060", "\ufeff", "\U000e0001", "\x00")
SEPARATORS = ("_", " ", "-", "__", "\t", "\u00a0", "\u2011", "\u2013", "\u2212", " _ ", "\uff3f", "\n")
VERSIONS = ("", "v7", "v8")
TROUBLES = (
    "observing",
    "shadow",
    "version rule",
    "versions of the calibrator",
    "fitted for something else",
    "stale",
    "no calibrator",
    "evidence of another kind",
    "truncated",
    "the queue is behind",
    "the journal is full",
)
BAD_HEALTH = (QueueHealth(away=True), QueueHealth(away=True, backlog_seconds=20_000.0))


def _respelt(name: str, draw: Callable[..., Any]) -> str:
    """The name as some system, somewhere, may spell it."""
    spelt = []
    for character in name:
        if character == "_":
            spelt.append(draw(st.sampled_from(SEPARATORS)))
            continue
        form = draw(st.integers(0, 4))
        if form == 1:
            character = character.upper()
        elif form == 2 and "a" <= character <= "z":
            character = chr(ord(character) + 0xFEE0)  # full width
        elif form == 3 and character == "i":
            character = draw(st.sampled_from(("\u0130", "\u0131", "I")))  # as a Turkish locale writes it
        spelt.append(character + draw(st.sampled_from(INVISIBLE)))
    return draw(st.sampled_from(("", " ", "\u200b", "_", "\t"))) + "".join(spelt)


@st.composite
def band_lists(draw: Any) -> list[dict[str, Any]]:
    lower = draw(st.lists(st.integers(1, 9_999), max_size=5, unique=True).map(sorted))
    edges = [Decimal(0), *(Decimal(number) / 10_000 for number in lower)]
    indices = sorted(draw(st.sampled_from((0, 0, 0, 1, 1, 2, 3, 4))) for _ in edges)
    bands = []
    for edge, index in zip(reversed(edges), indices, strict=True):
        band: dict[str, Any] = {
            "name": f"band_{len(bands)}",
            "from": float(edge),
            "action": STRICT_ORDER[index],
        }
        if draw(st.booleans()):
            band["audit_rate"] = draw(st.sampled_from((0.0, 1e-05, 0.05, 0.3333333333333333, 1.0)))
        if band["action"] == "AUTO_ROUTE_FLAGGED" and draw(st.booleans()):
            band["review"] = "next_day"
        bands.append(band)
    return draw(st.permutations(bands))


@st.composite
def categories_sections(draw: Any) -> dict[str, dict[str, Any]]:
    chosen = draw(st.lists(st.sampled_from(BASE_NAMES[:-1]), unique=True, max_size=5))
    found: dict[str, dict[str, Any]] = {}
    for name in chosen:
        entry: dict[str, Any] = {}
        if name in BASE_NAMES[:3]:
            entry["mandatory_review"] = True
        else:
            entry["mandatory_review"] = draw(st.sampled_from((False, False, False, True, "ranges")))
            if entry["mandatory_review"] == "ranges":
                low, high = sorted(draw(st.lists(st.integers(0, 100), min_size=2, max_size=2, unique=True)))
                # Whole numbers too, as a person writes them.
                ends = [number // 100 if number % 100 == 0 else number / 100 for number in (low, high)]
                entry["mandatory_review"] = [{"from": ends[0], "to": ends[1]}]
        if draw(st.booleans()):
            entry["bands"] = draw(band_lists())
        if draw(st.booleans()):
            entry["audit_rate"] = draw(st.floats(0, 1))
        found[draw(st.sampled_from((name, name.upper(), f" {name}")))] = entry
    return found


@st.composite
def model_sections(draw: Any, troubles: list[str]) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(("score", "positive_probability", "probabilities", "logits", "token_logprobs"))
    )
    entry: dict[str, Any] = {
        "mode": "observe" if "observing" in troubles else "enforce",
        "calibrator": "models:/lead-classifier-calibrator@champion",
        "model_version": draw(st.sampled_from(("required", "v7"))) if "version rule" in troubles else "any",
        "evidence": kind,
        "bands": draw(band_lists()),
        "band_on": draw(st.sampled_from(("calibrated", "calibrated", "lower_bound"))),
        "categories": draw(categories_sections()),
        "unknown_category": draw(st.sampled_from(("HOLD_FOR_REVIEW", "ESCALATE"))),
        "stale": {
            "after": draw(st.sampled_from(("0s", "0.5s", "1.1h", "1d"))),
            "action": draw(st.sampled_from(("HOLD_FOR_REVIEW", "ESCALATE"))),
        },
    }
    if kind in ("probabilities", "logits"):
        entry["classes"] = list(CLASSES)
    elif kind == "positive_probability":
        entry["classes"] = list(CLASSES[:2])
    elif kind == "token_logprobs":
        entry["aggregation"] = draw(st.sampled_from(("mean", "min", "sum")))
    if draw(st.booleans()):
        entry["versions"] = {"v8": "models:/lead-classifier-calibrator/8"}
    return entry


def _well_formed(draw: Any, kind: str, truncated: bool) -> Evidence:
    if kind in ("score", "positive_probability"):
        value = draw(st.one_of(st.floats(0, 1), st.floats(0.9, 1), st.sampled_from((0.0, 1.0))))
        return Evidence(kind, (value,))  # type: ignore[arg-type]
    if kind == "token_logprobs":
        logprob = st.one_of(st.floats(-50, 0), st.floats(-0.1, 0))
        values = draw(st.lists(logprob, min_size=1, max_size=5))
        return Evidence("token_logprobs", tuple(values), truncated=truncated)
    if kind == "logits":
        logit = st.one_of(st.floats(-30, 30), st.floats(allow_nan=False, allow_infinity=False))
        return Evidence("logits", tuple(draw(st.lists(logit, min_size=3, max_size=3))))
    parts = draw(st.lists(st.floats(0.001, 1), min_size=3, max_size=3))
    return Evidence("probabilities", tuple(part / sum(parts) for part in parts))


@st.composite
def maps(draw: Any, vector: bool) -> Map:
    if vector and draw(st.booleans()):
        return VectorTemperature(draw(st.floats(0.01, 100)))
    steep, shift = st.floats(0, 1e6), st.floats(-1e6, 1e6)
    x = sorted(draw(st.lists(st.floats(0, 1), min_size=1, max_size=5, unique=True)))
    y = sorted(draw(st.lists(st.floats(0, 1), min_size=len(x), max_size=len(x))))
    return draw(
        st.one_of(
            st.just(Identity()),
            st.just(Constant(1.0)),
            st.builds(Constant, st.floats(0, 1)),
            st.builds(Temperature, st.floats(0.01, 100)),
            st.builds(Platt, steep, shift, st.sampled_from(("logit", "raw"))),
            st.builds(Beta, steep, steep, shift),
            st.just(Isotonic(tuple(x), tuple(y))),
        )
    )


@st.composite
def carried(draw: Any, certainly: bool) -> dict[str, Any]:
    """What a calibrator may carry beside its map."""
    given: dict[str, Any] = {}
    if draw(st.booleans()):
        named = draw(st.lists(st.sampled_from(BASE_NAMES), unique=True, max_size=4))
        given["category_offsets"] = {name: draw(st.floats(-5, 5)) for name in named}
    if certainly or draw(st.booleans()):
        confidences = sorted(draw(st.lists(st.floats(0, 1), min_size=1, max_size=4, unique=True)))
        share = draw(st.floats(0, 1))
        given["lower"] = LowerCurve(
            level=0.95,
            method="drawn",
            confidences=tuple(confidences),
            bounds=tuple(share * confidence for confidence in confidences),
        )
    return given


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A request and all that surrounds it. `category` is what the odd spelling in the query stands for."""

    section: dict[str, Any]
    query: Query
    category: str
    calibrators: Mapping[tuple[str, str], CalibratorInForce]
    health: QueueHealth
    journal_fails: bool

    @property
    def policy(self) -> str:
        return json.dumps({"version": 1, "models": {"lead-classifier": self.section}})


@st.composite
def scenario_strategy(draw: Any) -> Scenario:
    # At most two things go wrong at a time, or hardly any request would ever be in a position to act.
    troubles = draw(st.lists(st.sampled_from(TROUBLES), max_size=2, unique=True))
    section = draw(model_sections(troubles))
    kind = section["evidence"]
    fitted_for: dict[str, Any] = {
        "evidence": kind,
        "aggregation": section.get("aggregation", "none"),
        "versions": ("v7",) if "versions of the calibrator" in troubles else None,
        "answer": draw(st.sampled_from(("given", "argmax"))),
    }
    if "fitted for something else" in troubles:
        fitted_for |= draw(
            st.sampled_from(
                (
                    {"model": "another"},
                    {"criterion": "kept"},
                    {"source": "secondary"},
                    {"evidence": "score" if kind == "logits" else "logits", "aggregation": "none"},
                )
            )
        )
    ages = (0.0, -50.0)
    if "stale" in troubles:
        ages = (0.25, 0.75, 3959.0, 3961.0, 86400.0, 86401.0, 1e8)
    held = {}
    slots = draw(st.sampled_from(((), ("v8",), ("",)))) if "no calibrator" in troubles else ("", "v8")
    for slot in slots:
        held["lead-classifier", slot] = builders.calibrator_in_force(
            draw(maps(fitted_for["evidence"] in ("probabilities", "logits"))),
            confirmed_at=builders.NOW - draw(st.sampled_from(ages)),
            epsilon=draw(st.sampled_from((1e-12, 1e-6, 0.1))),
            **fitted_for,
            **draw(carried(section["band_on"] == "lower_bound" and draw(st.integers(0, 3)) > 0)),
        )
    category = draw(st.sampled_from((*BASE_NAMES, "")))
    if draw(st.booleans()):
        ordinary = [name for name, entry in section["categories"].items() if not entry["mandatory_review"]]
        category = draw(st.sampled_from(ordinary or ["other"])).strip().lower()
    given_kind = kind
    if "evidence of another kind" in troubles:
        given_kind = draw(st.sampled_from(("score", "positive_probability", "probabilities", "logits")))
    classes = section.get("classes", [])
    return Scenario(
        section=section,
        query=builders.query(
            evidence=_well_formed(draw, given_kind, "truncated" in troubles),
            category=_respelt(category, draw) if category else draw(st.sampled_from(("", " ", "\u200b"))),
            predicted_class=draw(st.sampled_from(("", *classes))) if classes else "interested",
            positive_class="" if classes else "interested",
            model_version=draw(st.sampled_from(VERSIONS)),
            intent=Intent.SHADOW if "shadow" in troubles else Intent.LIVE,
            request_id=draw(st.sampled_from(("", "r-1"))),
            attributes={"amount": draw(st.floats(allow_nan=False, allow_infinity=False)), "vip": True},
        ),
        category=category,
        calibrators=held,
        health=draw(st.sampled_from(BAD_HEALTH)) if "the queue is behind" in troubles else QueueHealth(),
        journal_fails="the journal is full" in troubles,
    )


@pytest.fixture(scope="session")
def scenarios() -> st.SearchStrategy[Scenario]:
    """Random policies x odd spellings x evidence x calibrators x staleness x mode x intent x bad states."""
    return scenario_strategy()
