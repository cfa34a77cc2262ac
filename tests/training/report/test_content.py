"""What a report says about ledgers whose truth is known."""

from collections.abc import Callable
from typing import Any

import pytest

from sidecar.decision.records import Decision, Governance, InForce, Label
from sidecar.decision.steps import FallbackStep
from sidecar.decision.suspensions import Resumption, Scope, Suspension
from sidecar.decision.tasks import TaskState, task_id
from sidecar.ledger import leases
from sidecar.ledger.leases import ReviewTransaction
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Action, AnswerSource, Intent, TaskKind
from tests import builders
from training.measure import intervals
from training.measure.verdict import Finding
from training.report.content import ALL_VERSIONS, VersionReport
from training.report.rows import NoAnswer, Row

START = 1_790_000_000.0
DAY = 86400.0
MakeWorld = Callable[..., Any]


def only(world: Any, **options: Any) -> VersionReport:
    (model,) = world.report(**options).models
    (version,) = model.versions
    return version


def by_band(version: VersionReport) -> dict[str, Row]:
    return {row.band: row for row in version.tables.bands}


def test_a_ledger_counted_by_hand(counted: Any) -> None:
    version = only(counted)
    auto, flagged = by_band(version)["auto"], by_band(version)["flagged"]
    assert (auto.decisions, auto.drawn, auto.maturity.tasks, auto.maturity.answered) == (200, 40, 40, 40)
    assert auto.estimate.labels == 40
    assert auto.estimate.value == pytest.approx(0.9)
    assert auto.estimate.method_shown == "Wilson"
    assert auto.estimate.shown() == pytest.approx(intervals.wilson(36, 40))
    assert auto.naive == pytest.approx(36 / 50)
    assert auto.naive_labels == 50
    assert auto.mean_confidence == pytest.approx(0.95)
    assert auto.edge == 0.9
    assert auto.verdict is not None
    assert auto.verdict.promised == 0.9
    assert auto.verdict.finding is Finding.NOT_SHOWN
    assert auto.verdict.more_labels is None, "the estimate lies on the promise"
    assert (flagged.decisions, flagged.estimate.labels) == (100, 20)
    assert flagged.verdict is not None
    assert flagged.verdict.finding is Finding.TOO_FEW
    acted = version.tables.acted
    assert acted.decisions == 300
    assert acted.estimate.value == pytest.approx((200 * 0.9 + 100 * 0.75) / 300)
    everything = version.tables.answers
    assert everything.decisions == 380
    assert everything.estimate.value == pytest.approx((200 * 0.9 + 100 * 0.75 + 50 * 0.5 + 30 / 6) / 380)
    assert everything.estimate.method_shown == "Korn-Graubard"
    assert everything.naive == pytest.approx((36 + 15 + 25 + 1) / (40 + 20 + 50 + 6 + 10))
    rest = {(row.band, row.action): row for row in version.tables.rest}
    assert rest["hold", "HOLD_FOR_REVIEW"].estimate.value == 0.5
    assert rest["reject", "REJECT"].decisions == 30
    assert rest["reject", "REJECT"].estimate.value == pytest.approx(1 / 6)
    assert version.deciders == {"primary": 300, "person": 50, "rejected": 30}
    assert version.left_out == {"not drawn with a known probability": 10}
    assert version.tables.cells == (), "one category is all that there is"
    assert [row.category for row in version.tables.categories] == ["general"]
    assert version.calibration.evaluation is not None
    assert version.calibration.evaluation.n == 116
    assert version.calibration.evaluation.accuracy == pytest.approx(everything.estimate.value)
    assert version.acting.evaluation is not None
    assert version.acting.evaluation.n == 60
    assert version.acting.evaluation.ece == pytest.approx((200 * 0.05 + 100 * 0.05) / 300)
    assert version.calibration.covered == 1.0


@pytest.mark.parametrize(
    ("right", "wrong", "finding", "overdue"),
    [
        (130, 0, Finding.SHOWN, False),
        (60, 60, Finding.BROKEN, True),
        (97, 3, Finding.NOT_SHOWN, True),
        (20, 0, Finding.TOO_FEW, True),
        (0, 0, Finding.TOO_FEW, True),
    ],
)
def test_every_verdict_on_a_category_with_its_own_promise(
    make_world: MakeWorld, right: int, wrong: int, finding: Finding, overdue: bool
) -> None:
    world = make_world()
    world.add(700, "auto", category="refunds", labels=[True] * right + [False] * wrong)
    world.add(100, "auto", labels=[True] * 40)
    version = only(world)
    refunds = {row.category: row for row in version.tables.categories}["refunds"]
    assert refunds.verdict is not None
    assert (refunds.verdict.finding, refunds.verdict.overdue) == (finding, overdue)
    assert refunds.verdict.promised == 0.95
    auto = by_band(version)["auto"]
    assert (auto.without, auto.decisions, auto.estimate.labels) == (("refunds",), 100, 40)
    assert auto.verdict is not None
    assert auto.verdict.promised == 0.9
    assert not auto.verdict.overdue
    cells = {(row.band, row.category): row for row in version.tables.cells}
    assert cells["auto", "refunds"].verdict == refunds.verdict
    assert ("auto", "general") in cells


def test_a_category_is_a_domain_and_weighs_as_its_strata_do(make_world: MakeWorld) -> None:
    world = make_world()
    world.add(100, "auto", rate=0.5, labels=[True] * 50)
    world.add(100, "flagged", rate=0.1, labels=[False] * 10)
    world.add(300, "flagged", rate=0.1, category="other", labels=[True] * 30)
    general = {row.category: row for row in only(world).tables.categories}["general"]
    assert (general.decisions, general.estimate.labels) == (200, 60)
    assert general.estimate.value == pytest.approx(100 / (100 + 400 * 10 / 40))
    assert general.estimate.method_shown == "Korn-Graubard"


def test_versions_are_never_taken_together_unless_asked(make_world: MakeWorld) -> None:
    world = make_world()
    world.add(100, "auto", labels=[True] * 40)
    world.add(300, "auto", model_version="v2", labels=[False] * 40)
    (model,) = world.report().models
    assert [each.version for each in model.versions] == ["v1", "v2"]
    assert [by_band(each)["auto"].estimate.value for each in model.versions] == [1.0, 0.0]
    (pooled,) = world.report(pool=True).models[0].versions
    assert pooled.version == ALL_VERSIONS
    assert by_band(pooled)["auto"].decisions == 400
    assert by_band(pooled)["auto"].estimate.value == pytest.approx(0.25)


def test_what_did_not_answer_and_how_much_it_could_change(make_world: MakeWorld) -> None:
    world = make_world()
    drawn = world.add(100, "auto", drawn=20, labels=[True] * 10 + [False] * 2 + [None] * 2)
    conflicting, expired, withdrawn, unanswered = drawn[14], drawn[15], drawn[16], drawn[17:20]
    world.label(conflicting, True, TaskKind.AUDIT)
    world.label(conflicting, False, TaskKind.AUDIT, source="other")
    world.write()

    def end(transaction: ReviewTransaction) -> None:
        for decision, state in ((expired, TaskState.EXPIRED), (withdrawn, TaskState.WITHDRAWN)):
            task = transaction.lock(task_id(decision.decision_id, TaskKind.AUDIT))
            assert task is not None
            transaction.end(task, state)

    with Ledger(world.url, clock=lambda _: START + 50 * DAY) as ledger:
        leases.review(ledger, end)
    auto = by_band(only(world))["auto"]
    assert auto.no_answers == {
        NoAnswer.CANNOT_TELL: 2,
        NoAnswer.CONFLICTING: 1,
        NoAnswer.EXPIRED: 1,
        NoAnswer.WITHDRAWN: 1,
        NoAnswer.UNANSWERED: 3,
    }
    assert auto.estimate.value == pytest.approx(10 / 12)
    assert auto.worst == pytest.approx((10 / 20, 18 / 20))
    assert (auto.maturity.tasks, auto.maturity.answered, auto.maturity.waiting) == (20, 15, 3)
    assert auto.maturity.share == 0.75
    assert auto.maturity.oldest_age_seconds == pytest.approx(100 * DAY - (unanswered[0].decided_at - START))


def test_an_empty_stratum_is_all_wrong_below_and_all_right_above(make_world: MakeWorld) -> None:
    world = make_world()
    world.add(300, "auto", labels=[True] * 60)
    world.add(100, "auto", rate=0.01)
    auto = by_band(only(world))["auto"]
    assert auto.estimate.uncovered == pytest.approx(0.25)
    low, high = intervals.wilson(60, 60)
    assert auto.estimate.shown() == pytest.approx((0.75 * low, 0.75 * high + 0.25))


def test_rules_and_secondary_have_strata_of_their_own(make_world: MakeWorld) -> None:
    step = FallbackStep(
        step="rules", outcome="CLEARED", rule="r", answer_class="yes", calibrated_confidence=0.93
    )
    world = make_world()
    world.add(100, "auto", labels=[True] * 20)
    world.add(
        50,
        "auto",
        source=AnswerSource.RULES,
        steps=(step,),
        calibrated_confidence=0.4,
        labels=[False] * 10,
    )
    version = only(world)
    auto = by_band(version)["auto"]
    assert auto.estimate.value == pytest.approx(100 / 150)
    assert auto.mean_confidence == pytest.approx(0.95), "the primary's confidence is not the rule's"
    assert version.deciders == {"primary": 100, "rules": 50}
    assert version.acting.evaluation is not None
    assert version.acting.evaluation.n == 20


def test_what_no_estimate_may_use(make_world: MakeWorld) -> None:
    world = make_world()
    acted = world.add(100, "auto", labels=[True] * 10)
    world.add(40, "auto", intent=Intent.SHADOW, may_act=False, labels=[False] * 5)
    world.label(acted[50], False, None, about="SECONDARY")
    (model,) = world.report().models
    (version,) = model.versions
    assert by_band(version)["auto"].estimate.value == 1.0
    assert by_band(version)["auto"].decisions == 100
    assert model.shadow == 40
    assert version.left_out == {
        "of a shadow request": 5,
        "about another answer than the one that decided": 1,
    }


def test_observing_reports_on_what_would_have_acted(make_world: MakeWorld) -> None:
    world = make_world(
        """
version: 1
models:
  leads: {mode: observe, calibrator: "models:/c@champion", evidence: score}
"""
    )
    world.add(100, "auto", may_act=False, enforced=False, labels=[True] * 19 + [False])
    (model,) = world.report().models
    auto = by_band(model.versions[0])["auto"]
    assert model.mode == "observe"
    assert (auto.decisions, auto.estimate.value) == (100, pytest.approx(0.95))


def test_what_is_not_enforced_did_not_act(make_world: MakeWorld) -> None:
    world = make_world()
    world.add(60, "auto", may_act=False, enforced=False, labels=[False] * 20)
    world.add(100, "auto", labels=[True] * 20)
    version = only(world)
    auto = by_band(version)["auto"]
    assert (auto.decisions, auto.estimate.value) == (100, 1.0)
    assert version.deciders == {"primary": 100, "not enforced": 60}
    assert [(row.action, row.decisions) for row in version.tables.rest] == [("AUTO_ROUTE", 60)]


def test_the_mandatory_leak_rate(make_world: MakeWorld) -> None:
    world = make_world()
    world.add(100, "auto", labels=[True] * 15)
    world.add(100, "auto", labels=[True] * 3, label={"true_category": "General"})
    world.add(100, "auto", labels=[True, False], label={"true_category": " Pricing "})
    world.add(
        80, "auto", category="pricing", action=Action.HOLD_FOR_REVIEW, mandatory=True, labels=[True] * 8
    )
    found = only(world).mandatory
    assert found.categories == ("account_strategy", "legal_language", "pricing")
    assert (found.decisions, found.acted, found.acted_in_category) == (80, 0, 0)
    assert (found.leaks, found.leak.labels, found.leak_named.labels) == (2, 20, 5)
    assert found.leak.value == pytest.approx(0.1)
    assert found.leak.shown() == pytest.approx(intervals.wilson(2, 20))
    assert found.leak_named.value == pytest.approx(0.4)


def test_a_mandatory_decision_that_acted_is_counted(make_world: MakeWorld) -> None:
    world = make_world()
    world.add(3, "auto", category="pricing", mandatory=True)
    world.add(2, "auto", category="pricing")
    found = only(world).mandatory
    assert (found.decisions, found.acted, found.acted_in_category) == (3, 3, 5)


def test_as_it_was_known(counted: Any) -> None:
    late = counted.add(40, "auto", at=START + 10 * DAY, labels=[False] * 40)
    first = counted.records[1]
    counted.label(
        first,
        False,
        TaskKind.AUDIT,
        event_id="correction",
        supersedes=_event(first),
        recorded_at=START + 20 * DAY,
    )
    version = only(counted, as_of="2026-09-30")
    assert by_band(version)["auto"].decisions == 200
    assert by_band(version)["auto"].estimate.value == pytest.approx(36 / 40)
    assert version.tables.answers.decisions == 380
    now = by_band(only(counted))["auto"]
    assert now.decisions == 240
    assert now.estimate.value == pytest.approx(35 / 80)
    before_any_label = only(counted, as_of="2026-09-21T15:00Z")
    assert by_band(before_any_label)["auto"].estimate.labels == 0
    assert by_band(before_any_label)["auto"].decisions == 200
    assert by_band(before_any_label)["auto"].maturity.waiting == 40
    assert len(late) == 40


def test_a_window_cuts_decisions_and_their_labels(counted: Any) -> None:
    counted.add(40, "auto", at=START + 10 * DAY, labels=[True] * 8)
    later = by_band(only(counted, since="2026-09-25"))["auto"]
    assert (later.decisions, later.estimate.labels) == (40, 8)
    earlier = by_band(only(counted, until="2026-09-25"))["auto"]
    assert (earlier.decisions, earlier.estimate.labels) == (200, 40)


def test_week_by_week(make_world: MakeWorld) -> None:
    world = make_world()
    for week, right in enumerate((10, 8, 2)):
        world.add(50, "auto", at=START + week * 7 * DAY, labels=[True] * right + [False] * (10 - right))
        world.add(50, "auto", category="refunds", at=START + week * 7 * DAY, labels=[False] * 5)
    weeks = {each.band: each.points for each in only(world).weeks}
    assert [point.estimate.value for point in weeks["auto"]] == pytest.approx([1.0, 0.8, 0.2])
    assert [point.monday.isoformat() for point in weeks["auto"]] == ["2026-09-21", "2026-09-28", "2026-10-05"]
    assert [point.week for point in weeks["auto"]] == ["2026-W39", "2026-W40", "2026-W41"]
    assert [point.estimate.uncovered for point in weeks["auto"]] == [0.0, 0.0, 0.0]
    assert weeks["flagged"] == ()


def test_what_was_in_force(make_world: MakeWorld) -> None:
    world = make_world()
    world.add(10, "auto")
    world.records += [
        InForce(
            sidecar_id="s", slot="calibrator:leads", digest="d1", name="leads-calibrator", version="3", since=START
        ),
        Suspension(
            suspension_id="held", scope=Scope(model="leads", band="auto"), explanation="drop", suspended_by="ada",
            suspended_at=START + DAY, sidecar_id="s",
        ),
        Suspension(
            suspension_id="lifted", scope=Scope(), explanation="drill", suspended_by="ada", suspended_at=START + DAY,
            sidecar_id="s",
        ),
        Resumption(
            suspension_id="lifted", explanation="over", resumed_by="bob", resumed_at=START + 3 * DAY, sidecar_id="s"
        ),
        Suspension(
            suspension_id="other", scope=Scope(model="another"), explanation="x", suspended_by="ada",
            suspended_at=START + DAY, sidecar_id="s",
        ),
        *(
            Governance(
                event_id=subject, kind="PROMOTED", subject=subject, to="4", by="ada", reason="better",
                happened_at=START + DAY, seen_at=START + DAY, sidecar_id="s",
            )
            for subject in ("leads-calibrator@champion", "policy", "another-calibrator@champion")
        ),
    ]  # fmt: skip
    (model,) = world.report().models
    assert [each.digest for each in model.in_force] == ["d1"]
    assert [each.suspension_id for each in model.suspensions] == ["held"]
    assert {each.subject for each in model.governance} == {"leads-calibrator@champion", "policy"}
    (then,) = world.report(as_of="2026-09-23T18:00Z").models
    assert {each.suspension_id for each in then.suspensions} == {"held", "lifted"}
    (early,) = world.report(as_of="2026-09-22").models
    assert early.suspensions == ()
    assert early.governance == ()


def test_many_categories_are_cut_off_and_said(make_world: MakeWorld) -> None:
    world = make_world('version: 1\nmodels: {leads: {calibrator: "models:/c@champion", evidence: score}}\n')
    for number in range(55):
        world.add(2 if number else 1, "auto", category=f"c{number:02d}")
    found = only(world).tables
    assert len(found.categories) == 50
    assert found.unshown == 5
    assert "c00" not in {row.category for row in found.categories}


def test_a_band_of_an_earlier_policy_has_a_row_without_a_promise(make_world: MakeWorld) -> None:
    world = make_world()
    world.add(40, "auto", labels=[True] * 8)
    world.add(40, "flagged", labels=[True] * 8)
    world.records = [
        builders.altered(record, band="old_name")
        if isinstance(record, Decision) and record.verdict.band == "flagged"
        else record
        for record in world.records
    ]
    rows = by_band(only(world))
    assert rows["old_name"].verdict is None
    assert rows["old_name"].estimate.value == 1.0
    assert rows["flagged"].decisions == 0
    assert rows["flagged"].verdict is not None
    assert rows["flagged"].verdict.more_labels == 30


def _event(decision: Any) -> str:
    return f"e-{decision.decision_id}-{TaskKind.AUDIT}"


def test_labels_of_one_group_are_one(make_world: MakeWorld) -> None:
    world = make_world()
    world.add(200, "auto", group_key="one customer", labels=[True] * 40)
    auto = by_band(only(world))["auto"]
    assert auto.estimate.labels == 40
    assert auto.estimate.n_effective == pytest.approx(1.0)
    assert auto.verdict is not None
    assert auto.verdict.finding is Finding.TOO_FEW


def test_a_label_about_another_criterion_is_no_label(make_world: MakeWorld) -> None:
    world = make_world()
    (decision, *_) = world.add(50, "auto", drawn=1)
    world.label(decision, False, TaskKind.AUDIT, criterion="tone")
    version = only(world)
    assert by_band(version)["auto"].estimate.labels == 0
    assert isinstance(world.records[-1], Label)
    assert by_band(version)["auto"].no_answers == {NoAnswer.UNUSABLE: 1}
