"""Before a swap, the last inputs are put through the newcomer; too great a shift is refused."""

import dataclasses
import logging
import time

import pytest

from calibrators import Calibrator, Identity, Platt
from calibrators.evidence import Evidence, raw_confidence
from sidecar import errors
from sidecar.decision import recompute
from sidecar.decision.suspensions import Scope, Suspension
from sidecar.ledger import queries
from sidecar.ledger.pages import Page
from sidecar.ledger.queries import StoredDecision
from sidecar.policy.actions import Action, AnswerSource, Intent
from sidecar.service.in_force import recent_inputs
from sidecar.service.in_force.recent_inputs import RecentInputs
from sidecar.service.registry import CalibratorSlot, Resolved
from tests import builders
from tests.sidecar import services

SLOT = CalibratorSlot("lead-classifier")
TIMID = Platt(slope=0.25, intercept=-1.0, on="logit")
POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/lead-classifier-calibrator@champion
    versions: {v8: models:/eight@champion}
    evidence: score
    admission: {max_auto_shift: 0.10, recent: 100}
    categories:
      general: {}
      pricing: {mandatory_review: true}
"""
VERSION = Resolved(name="cal", version="9", digest="sha256:x")


class Book:
    """A ledger's decisions, newest first, in small pages."""

    def __init__(self, decisions) -> None:
        self.stored = [
            StoredDecision(decision_id=each.decision_id, answers=(each,), acted=False, held=False)
            for each in decisions
        ]
        self.asked: list[int] = []

    def read(self, query: object, *, model: str, page_size: int, page_token: str) -> Page[StoredDecision]:
        assert query is queries.decisions
        assert model == "lead-classifier"
        self.asked.append(page_size)
        start = int(page_token or 0)
        end = start + min(page_size, 7)
        items = tuple(self.stored[start:end])
        return Page(items=items, next_page_token=str(end) if end < len(self.stored) else "")


@pytest.fixture
def made():
    return services.bare(POLICY)


@pytest.fixture
def fill(made):
    """Routes so many answers of a score, and hands them to the ring, which is warm."""
    recent = RecentInputs(lambda: made.snapshot)
    recent.warm(Book([]))

    def fill(number: int, score: float, **changes) -> RecentInputs:
        for _ in range(number):
            recent.take(made.router.route(builders.query(score, **changes)).decision, made.snapshot)
        return recent

    return fill


def newcomer(held, mapping) -> Calibrator:
    return dataclasses.replace(held.calibrator, map=mapping)


def judged(recent, held, mapping=TIMID, resolved=VERSION, slot=SLOT):
    return recent.judge(slot, held, newcomer(held, mapping), resolved)


def test_a_great_shift_is_refused_with_numbers_and_what_to_do(fill) -> None:
    fill(40, 0.95)
    refusal = judged(fill(60, 0.55), builders.calibrator_in_force())
    assert refusal.code == "CALIBRATOR_SHIFTS_ROUTING"
    assert "from 40.0% to 0.0% of the last 100 inputs" in str(refusal)
    assert "max_auto_shift (10%)" in str(refusal)
    assert "training promote 9 --name cal --approve" in str(refusal)


def test_a_shift_in_the_other_direction_is_one_too(fill) -> None:
    refusal = judged(
        fill(100, 0.6), builders.calibrator_in_force(), Platt(slope=4.0, intercept=2.0, on="logit")
    )
    assert "from 0.0% to 100.0%" in str(refusal)


@pytest.mark.parametrize(("moved", "refused"), [(10, False), (11, True)])
def test_the_bound_is_inclusive(fill, moved: int, refused: bool) -> None:
    fill(moved, 0.72)
    recent = fill(100 - moved, 0.99)
    slightly = Platt(slope=1.0, intercept=-0.2, on="logit")  # 0.72 -> 0.68, and 0.99 stays where it was
    assert (judged(recent, builders.calibrator_in_force(), slightly) is not None) is refused


def test_an_approved_version_comes_in_and_so_does_a_file(fill) -> None:
    recent = fill(100, 0.95)
    assert judged(recent, builders.calibrator_in_force()) is not None
    assert (
        judged(recent, builders.calibrator_in_force(), resolved=dataclasses.replace(VERSION, approved=True))
        is None
    )
    assert (
        judged(recent, builders.calibrator_in_force(), resolved=Resolved(name="x.json", content="sha256:1"))
        is None
    )


def test_with_too_few_inputs_it_comes_in_and_that_is_said(fill, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert judged(fill(29, 0.95), builders.calibrator_in_force()) is None
    assert "calibrator_unjudged" in caplog.messages
    assert judged(fill(1, 0.95), builders.calibrator_in_force()) is not None


def test_without_a_ring_nothing_is_measured() -> None:
    made = services.bare(POLICY.replace("recent: 100", "recent: 0"))
    recent = RecentInputs(lambda: made.snapshot)
    recent.warm(Book([]))
    for _ in range(50):
        recent.take(made.router.route(builders.query()).decision, made.snapshot)
    assert judged(recent, builders.calibrator_in_force()) is None


def test_the_same_calibrator_again_is_no_newcomer(fill) -> None:
    assert judged(fill(100, 0.95), builders.calibrator_in_force(), Identity()) is None


def test_the_last_inputs_count_and_no_more_than_the_policy_keeps(fill) -> None:
    fill(300, 0.95)
    assert (
        judged(fill(100, 0.3), builders.calibrator_in_force()) is None
    )  # neither acts on any of the last hundred


def test_shadow_requests_and_other_versions_are_other_inputs(fill) -> None:
    fill(100, 0.95, intent=Intent.SHADOW)
    recent = fill(100, 0.95, model_version="v8")
    assert judged(recent, builders.calibrator_in_force()) is None
    assert (
        judged(recent, builders.calibrator_in_force(), slot=CalibratorSlot("lead-classifier", "v8"))
        is not None
    )


def test_calibrators_of_fallback_steps_are_not_judged(fill) -> None:
    assert (
        judged(
            fill(100, 0.95),
            builders.calibrator_in_force(),
            slot=CalibratorSlot("lead-classifier", "", "secondary"),
        )
        is None
    )


def test_mandatory_categories_and_suspensions_shift_nothing(fill, made) -> None:
    recent = fill(100, 0.95, category="pricing")
    assert judged(recent, builders.calibrator_in_force()) is None
    recent = fill(100, 0.95)
    assert judged(recent, builders.calibrator_in_force()) is not None
    suspended = Suspension(
        suspension_id="0" * 32,
        scope=Scope(band="auto"),
        explanation="x",
        suspended_by="ada",
        suspended_at=0.0,
        sidecar_id="s",
    )
    made.snapshot = dataclasses.replace(made.snapshot, suspensions=(suspended,))
    assert judged(recent, builders.calibrator_in_force()) is None


def test_a_stale_calibrator_that_holds_everything_does_not_keep_a_fresh_one_out(fill, made, now) -> None:
    made.now = now + 10 * 86400
    recent = fill(100, 0.95)
    slightly = Platt(slope=1.0, intercept=-0.05, on="logit")
    assert judged(recent, builders.calibrator_in_force(), slightly) is None


def test_observed_actions_count() -> None:
    made = services.bare(POLICY.replace("    evidence", "    mode: observe\n    evidence"))
    recent = RecentInputs(lambda: made.snapshot)
    recent.warm(Book([]))
    for _ in range(100):
        decision = made.router.route(builders.query()).decision
        assert not decision.may_act
        recent.take(decision, made.snapshot)
    assert judged(recent, builders.calibrator_in_force()) is not None


def test_a_restart_takes_the_last_inputs_from_the_ledger(made) -> None:
    decisions = [made.router.route(builders.query(0.95 if n < 100 else 0.3)).decision for n in range(300)]
    book = Book(decisions)  # as if the first were the newest
    recent = RecentInputs(lambda: made.snapshot)
    recent.warm(book)
    assert "from 100.0% to 0.0% of the last 100 inputs" in str(judged(recent, builders.calibrator_in_force()))
    assert sum(min(size, 7) for size in book.asked) <= 107


def test_a_newcomer_waits_for_the_ledger_and_not_for_ever(made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.service.in_force.recent_inputs.PATIENCE_SECONDS", 0.05)
    recent = RecentInputs(lambda: made.snapshot)
    began = time.monotonic()
    assert judged(recent, builders.calibrator_in_force()) is None
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("error", [errors.LedgerUnavailable("away"), KeyError("a mistake")])
def test_a_ledger_that_cannot_be_read_is_said_and_nothing_waits(
    made, error, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def read(self, _, **__):
            raise error

    recent = RecentInputs(lambda: made.snapshot)
    recent.warm(Away())
    assert "recent_inputs_unread" in caplog.messages
    monkeypatch.setattr("sidecar.service.in_force.recent_inputs.PATIENCE_SECONDS", 1e9)
    assert judged(recent, builders.calibrator_in_force()) is None


def test_texts_are_not_kept(made) -> None:
    recent = RecentInputs(lambda: made.snapshot)
    asked = builders.query(context={"text": "x" * 1000}, attributes={"a": 1.0})
    recent.take(made.router.route(asked).decision, made.snapshot)
    [kept] = recent._inputs[SLOT, "none"]
    assert (kept.query.context, kept.query.attributes) == ({}, {})


def test_the_moves_behind_a_shift(made) -> None:
    decisions = [made.router.route(builders.query(score)).decision for score in (0.95, 0.95, 0.6, 0.2)]
    held = builders.calibrator_in_force().calibrator
    found = recompute.shift(
        decisions,
        made.snapshot.policy.tables["lead-classifier"],
        before=held,
        after=newcomer(builders.calibrator_in_force(), TIMID),
    )
    assert found.n == 4
    assert found.moves == {
        (Action.AUTO_ROUTE, Action.REJECT): 2,
        (Action.HOLD_FOR_REVIEW, Action.REJECT): 1,
        (Action.REJECT, Action.REJECT): 1,
    }
    assert (found.before, found.after, found.size) == (0.5, 0.0, 0.5)
    assert (
        recompute.shift((), made.snapshot.policy.tables["lead-classifier"], before=held, after=held).size
        == 0.0
    )


def test_the_band_of_the_primary_is_found_behind_a_fallback_step(made) -> None:

    decision = made.router.route(builders.query(0.6)).decision
    cleared = builders.altered(decision, source=AnswerSource.RULES, band="auto")
    table = made.snapshot.policy.tables["lead-classifier"]
    assert recompute.primary_band(cleared, table, builders.calibrator_in_force().calibrator) == "hold"
    assert recompute.primary_band(cleared, table, None) == ""


def test_long_evidence_is_kept_as_what_it_comes_to_and_within_a_bound_of_bytes(monkeypatch) -> None:
    made = services.bare(POLICY.replace("evidence: score", "evidence: token_logprobs"))
    monkeypatch.setattr(recent_inputs, "MOST_BYTES", 10_000)
    recent = RecentInputs(lambda: made.snapshot)
    values = tuple(-0.001 * (number % 7) for number in range(10_000))
    given = Evidence("token_logprobs", values)
    for _ in range(50):
        recent.take(builders.decision(evidence=given), made.snapshot)
    inputs = list(recent._inputs[SLOT, "mean"])
    assert 2 <= len(inputs) < 50
    for kept in inputs:
        assert len(kept.query.evidence.values) == 1
        assert raw_confidence(kept.query.evidence, "mean") == raw_confidence(given, "mean")
