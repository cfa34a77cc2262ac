"""ReviewService over a real channel: permissions, fences, pages, what is shown, outcomes and streams."""

import contextlib
import hashlib
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from trueband.v1 import (
    decision_pb2,
    decision_pb2_grpc,
    evidence_pb2,
    label_pb2,
    label_pb2_grpc,
    review_pb2,
    review_pb2_grpc,
    routing_pb2,
    routing_pb2_grpc,
)

from calibrators import Evidence
from sidecar import errors
from sidecar.decision import tasks
from sidecar.decision.records import Artifact, Label, PlannedTask
from sidecar.decision.steps import FallbackStep
from sidecar.ledger import intake, outcomes, queries
from sidecar.ledger.store import Ledger
from sidecar.policy import loading
from sidecar.policy.actions import TaskKind
from sidecar.service import principals
from sidecar.service.api import outcome_watch
from sidecar.service.api.decisions import DecisionServicer
from sidecar.service.api.interceptor import CallInterceptor
from sidecar.service.api.labels import LabelServicer
from sidecar.service.api.lanes import Lanes
from sidecar.service.api.outcome_watch import OutcomeWatch
from sidecar.service.api.review import ReviewServicer
from sidecar.service.api.routing import RoutingServicer
from sidecar.service.review.queue import ReviewQueue, classes_by_policy
from tests import builders
from tests.sidecar import services

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/lead-classifier-calibrator@champion
    evidence: score
    categories:
      general: {}
      pricing: {mandatory_review: true}
    bands:
      - {name: auto, from: 0.9, action: AUTO_ROUTE, audit_rate: 1.0}
      - {name: flagged, from: 0.7, action: AUTO_ROUTE_FLAGGED, review: next_day, audit_rate: 0.0}
      - {name: hold, from: 0.0, action: HOLD_FOR_REVIEW}
"""
PEOPLE = {
    "ada": ("person", ["reviewer", "caller"]),
    "bob": ("person", ["reviewer"]),
    "lead": ("person", ["lead"]),
    "crm": ("service", ["caller"]),
    "shop": ("service", ["caller"]),
    "robot": ("service", ["reviewer"]),
    "audit": ("person", ["auditor"]),
    "ops": ("person", ["operator"]),
}
KNOWN = principals.parse(
    json.dumps(
        {
            "principals": [
                {
                    "name": name,
                    "kind": kind,
                    "roles": roles,
                    "token_sha256": hashlib.sha256(f"token of {name}".encode()).hexdigest(),
                }
                for name, (kind, roles) in PEOPLE.items()
            ]
        }
    )
)


class Revocable:
    """Principals of whom some are no longer known."""

    def __init__(self, known):
        self._known = known
        self.revoked = set()

    def find(self, token):
        found = self._known.find(token)
        return None if found is None or found.name in self.revoked else found


def _all_of(answer):
    """Waits for the end of a stream; another call has failed already."""
    if hasattr(answer, "__next__"):
        list(answer)


class Rig:
    """A server around a router and a queue. What is routed is in the ledger at once."""

    def __init__(self, made, path, known):
        self.made = made
        self.known = known
        self.ledger = Ledger(f"sqlite:///{path}/ledger.db")
        self.ledger.migrate()
        self.queue = ReviewQueue(
            self.ledger,
            review=lambda: made.snapshot.loaded.policy.review,
            classes=classes_by_policy(self.ledger),
            sidecar_id="a",
        )
        self.outcomes = OutcomeWatch(self.ledger, self.queue.news)
        lanes = Lanes(calls=4, ledger=4, watches=outcome_watch.MOST_WATCHERS)
        self.server = grpc.server(
            ThreadPoolExecutor(4),
            interceptors=(CallInterceptor(made.metrics, lanes, principals=known),),
        )
        routing_pb2_grpc.add_RoutingServiceServicer_to_server(RoutingServicer(made.router), self.server)
        labels = LabelServicer(
            made.router,
            self.ledger,
            label_window_seconds=lambda: 1e12,
            tables=lambda: made.snapshot.policy.tables,
            sidecar_id="a",
            clock=time.time,
        )
        label_pb2_grpc.add_LabelServiceServicer_to_server(labels, self.server)
        decision_pb2_grpc.add_DecisionServiceServicer_to_server(DecisionServicer(self.ledger), self.server)
        servicer = ReviewServicer(self.ledger, self.queue, self.outcomes)
        review_pb2_grpc.add_ReviewServiceServicer_to_server(servicer, self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._taken = 0

    def call(self, who, service, method, request, *, timeout=20):
        stub = {
            "routing": routing_pb2_grpc.RoutingServiceStub,
            "labels": label_pb2_grpc.LabelServiceStub,
            "decisions": decision_pb2_grpc.DecisionServiceStub,
            "review": review_pb2_grpc.ReviewServiceStub,
        }[service](self.channel)
        metadata = (("authorization", f"Bearer token of {who}"),) if who else ()
        return getattr(stub, method)(request, timeout=timeout, metadata=metadata)

    def review(self, who, method, timeout=20, **fields):
        request = getattr(review_pb2, f"{method}Request")(**fields)
        return self.call(who, "review", method, request, timeout=timeout)

    def failure(self, who, method, service="review", **fields):
        """The status name and the reason of a call that must fail."""
        module = {"review": review_pb2, "decisions": decision_pb2, "labels": label_pb2}[service]
        request = getattr(module, f"{method}Request")(**fields)
        with pytest.raises(grpc.RpcError) as caught:
            _all_of(self.call(who, service, method, request))
        status = rpc_status.from_call(caught.value)
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        return caught.value.code().name, info.reason, status.message

    def route(self, who, score=0.5, category="general", **fields):
        request = routing_pb2.RouteRequest(
            model="lead-classifier",
            category=category,
            predicted_class="interested",
            evidence=evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=score)),
            **fields,
        )
        answer = self.call(who, "routing", "Route", request).decision
        self.take_in()
        return answer

    def take_in(self):
        """What the forwarder does."""
        records = self.made.journal.records
        self.ledger.write(intake.take_in, records[self._taken :])
        self._taken = len(records)

    def lease(self, who, **fields):
        (task,) = self.review(who, "LeaseTasks", **fields).tasks
        return task

    def complete(self, who, task, verdict="CORRECT", disposition="RELEASE", **fields):
        return self.review(
            who,
            "CompleteTask",
            task_id=task.task_id,
            fence=task.lease.fence,
            verdict=f"VERDICT_{verdict}",
            disposition=f"DISPOSITION_{disposition}",
            **fields,
        )

    def close(self):
        self.outcomes.stop()
        self.channel.close()
        self.server.stop(None).wait()
        self.ledger.close()


@pytest.fixture
def rig(tmp_path):
    made = Rig(services.bare(POLICY), tmp_path, Revocable(KNOWN))
    yield made
    made.close()


@pytest.fixture
def open_rig(tmp_path):
    """Without principals."""
    made = Rig(services.bare(POLICY), tmp_path, None)
    yield made
    made.close()


def test_a_hold_is_leased_shown_completed_and_its_outcome_told(rig):
    answer = rig.route("crm", subject_ref="customer 7", context={"mail": "hello"})
    task = rig.lease("ada")
    assert (task.decision_id, task.kind, task.state) == (
        answer.decision_id,
        review_pb2.TASK_KIND_HOLD,
        review_pb2.TASK_STATE_LEASED,
    )
    assert (task.predicted_class, task.subject_ref, dict(task.context)) == (
        "interested",
        "customer 7",
        {"mail": "hello"},
    )
    assert task.calibrated_confidence == answer.calibrated_confidence
    assert list(task.reasons) == list(answer.reasons)
    assert (task.lease.reviewer, task.lease.fence, task.blind) == ("ada", 1, False)
    assert task.due_at.seconds - task.created_at.seconds == 4 * 3600
    pending = rig.review("crm", "GetOutcome", decision_id=answer.decision_id).outcome
    assert (pending.kind, pending.decision_id) == (review_pb2.OUTCOME_KIND_PENDING, answer.decision_id)
    done = rig.complete("ada", task, explanation="fine")
    assert (done.stale, done.task.state) == (False, review_pb2.TASK_STATE_COMPLETED)
    outcome = rig.review("crm", "GetOutcome", decision_id=answer.decision_id).outcome
    assert (outcome.kind, outcome.final_class) == (review_pb2.OUTCOME_KIND_RELEASED, "interested")
    assert (outcome.decided_by, outcome.by_person, outcome.explanation) == ("ada", True, "fine")
    assert outcome.shown_digest.startswith("sha256:")
    assert outcome.expires_at.seconds - outcome.decided_at.seconds == 86400


def test_a_mandatory_hold_needs_a_person_who_did_not_ask(rig):
    answer = rig.route("ada", 0.99, "pricing")
    assert not answer.may_act
    for who in ("robot", "ada"):
        assert not rig.review(who, "LeaseTasks").tasks, who
    task = rig.lease("bob")
    assert task.mandatory
    rig.complete("bob", task)
    outcome = rig.review("ada", "GetOutcome", decision_id=answer.decision_id).outcome
    assert (outcome.kind, outcome.decided_by, outcome.by_person) == (
        review_pb2.OUTCOME_KIND_RELEASED,
        "bob",
        True,
    )


def test_without_principals_all_works_but_what_needs_a_person(open_rig):
    rig = open_rig
    mandatory = rig.route("", 0.99, "pricing")
    task = rig.lease("")
    assert task.decision_id == mandatory.decision_id
    fields = {"task_id": task.task_id, "fence": task.lease.fence, "verdict": "VERDICT_CORRECT"}
    for disposition in ("RELEASE", "REFUSE"):
        code, reason, message = rig.failure(
            "", "CompleteTask", disposition=f"DISPOSITION_{disposition}", **fields
        )
        assert (code, reason) == ("PERMISSION_DENIED", "NOT_PERMITTED")
        assert "TRUEBAND_PRINCIPALS" in message
    outcome = rig.review("", "GetOutcome", decision_id=mandatory.decision_id).outcome
    assert outcome.kind == review_pb2.OUTCOME_KIND_PENDING
    plain = rig.route("")
    rig.complete("", rig.lease(""))
    outcome = rig.review("", "GetOutcome", decision_id=plain.decision_id).outcome
    assert (outcome.kind, outcome.decided_by, outcome.by_person) == (
        review_pb2.OUTCOME_KIND_RELEASED,
        "anonymous",
        False,
    )
    assert rig.ledger.read(queries.decision, plain.decision_id).answers[0].query.principal == "anonymous"


def test_who_routed_is_in_the_ledger(rig):
    answer = rig.route("crm")
    assert rig.ledger.read(queries.decision, answer.decision_id).answers[0].query.principal == "crm"
    batch = routing_pb2.RouteBatchRequest(items=[routing_pb2.RouteRequest()])
    rig.call("shop", "routing", "RouteBatch", batch)


@pytest.mark.parametrize("who", ["", "nobody"])
def test_an_unknown_token_is_unauthenticated_everywhere(rig, who):
    for method in ("LeaseTasks", "GetOutcome", "ListTasks", "WatchDecision"):
        assert rig.failure(who, method)[:2] == ("UNAUTHENTICATED", "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("who", "service", "method"),
    [
        ("crm", "review", "LeaseTasks"),
        ("crm", "review", "ListTasks"),
        ("crm", "review", "GetTask"),
        ("crm", "review", "CompleteTask"),
        ("ops", "review", "LeaseTasks"),
        ("audit", "review", "CompleteTask"),
        ("bob", "decisions", "GetDecision"),
        ("crm", "decisions", "ListDecisions"),
        ("crm", "labels", "GetLabels"),
        ("bob", "labels", "GetLabels"),
    ],
)
def test_a_role_that_is_missing_is_denied(rig, who, service, method):
    assert rig.failure(who, method, service)[:2] == ("PERMISSION_DENIED", "NOT_PERMITTED")


def test_a_caller_reads_back_only_what_it_asked_for(rig):
    answer = rig.route("crm")
    request = decision_pb2.GetDecisionRequest(decision_id=answer.decision_id)
    assert rig.call("crm", "decisions", "GetDecision", request).decision.held
    assert rig.call("audit", "decisions", "GetDecision", request).decision.held
    assert rig.failure("shop", "GetDecision", "decisions", decision_id=answer.decision_id)[0] == "NOT_FOUND"
    for method in ("GetOutcome", "WatchDecision"):
        assert rig.failure("shop", method, decision_id=answer.decision_id)[0] == "NOT_FOUND"
    rig.complete("ada", rig.lease("ada"))
    assert len(rig.review("crm", "ListOutcomes").outcomes) == 1
    assert len(rig.review("bob", "ListOutcomes").outcomes) == 1
    assert not rig.review("shop", "ListOutcomes").outcomes


def test_anothers_request_id_is_another_decision(rig):
    own = rig.route("crm", request_id="r-1", subject_ref="s")
    other = rig.route("shop", request_id="r-1", subject_ref="of the shop")
    assert other.decision_id != own.decision_id
    assert not other.replayed
    assert rig.route("crm", request_id="r-1", subject_ref="s").replayed


def test_of_a_decision_with_answers_to_others_a_caller_sees_its_own(rig):
    answer = rig.route("crm")
    (first,) = rig.ledger.read(queries.decision, answer.decision_id).answers
    changes = {"answer_id": "second", "principal": "shop", "tasks": (), "subject_ref": "of the shop"}
    rig.ledger.write(intake.take_in, [builders.altered(first, **changes)])
    rig.complete("ada", rig.lease("ada"), explanation="only for crm")
    request = decision_pb2.GetDecisionRequest(decision_id=answer.decision_id)
    seen = rig.call("shop", "decisions", "GetDecision", request).decision
    assert ([each.answer_id for each in seen.answers], seen.held) == (["second"], False)
    assert len(rig.call("audit", "decisions", "GetDecision", request).decision.answers) == 2
    assert rig.failure("shop", "GetOutcome", decision_id=answer.decision_id)[1] == "NOT_FOLLOWED"
    assert not rig.review("shop", "ListOutcomes").outcomes
    assert [each.explanation for each in rig.review("crm", "ListOutcomes").outcomes] == ["only for crm"]


def label_of(answer, task_id, **fields):
    return label_pb2.Label(
        decision_id=answer.decision_id, source="desk", correct=True, task_id=task_id, **fields
    )


def audits(rig):
    (task,) = rig.review("bob", "ListTasks", kinds=["TASK_KIND_AUDIT"]).tasks
    return task


def test_who_routes_does_not_learn_what_was_drawn(rig):
    mine, other = rig.route("ada", 0.95), rig.route("crm", 0.95)
    both = {task.decision_id: task for task in rig.review("bob", "ListTasks").tasks}
    assert set(both) == {mine.decision_id, other.decision_id}
    listed = rig.review("ada", "ListTasks")
    assert ([task.decision_id for task in listed.tasks], listed.total) == ([other.decision_id], 1)
    assert rig.failure("ada", "GetTask", task_id=both[mine.decision_id].task_id)[0] == "NOT_FOUND"
    leased = rig.review("ada", "LeaseTasks", count=9).tasks
    assert [task.decision_id for task in leased] == [other.decision_id]


def test_a_caller_does_not_answer_tasks_through_labels(rig):
    answer = rig.route("crm", 0.95)
    label = label_of(answer, audits(rig).task_id, event_id="1", channel=label_pb2.LABEL_CHANNEL_AUDIT_TASK)
    assert rig.failure("crm", "RecordLabel", "labels", label=label)[:2] == (
        "PERMISSION_DENIED",
        "NOT_PERMITTED",
    )
    batch = label_pb2.RecordLabelsRequest(labels=[label])
    (item,) = rig.call("crm", "labels", "RecordLabels", batch).items
    assert (item.status, item.reason) == (label_pb2.LABEL_STATUS_REJECTED, "NOT_PERMITTED")
    assert rig.call("bob", "labels", "RecordLabels", batch).items[0].status == label_pb2.LABEL_STATUS_ACCEPTED
    rig.take_in()
    assert not rig.review("bob", "LeaseTasks").tasks


@pytest.mark.parametrize("who", ["bob", "robot", "lead"])
@pytest.mark.parametrize("category", ["general", "pricing"])
def test_a_hold_ends_by_a_completion_and_never_by_a_label(rig, who, category):
    answer = rig.route("crm", category=category)
    task = rig.lease("ada")
    settling = tasks.task_id(task.task_id, TaskKind.ADJUDICATION)
    for event, task_id in enumerate((task.task_id, settling)):
        label = label_of(answer, task_id, event_id=str(event), channel=label_pb2.LABEL_CHANNEL_REVIEW_TASK)
        refused = rig.failure(who, "RecordLabel", "labels", label=label)
        assert refused[:2] == ("FAILED_PRECONDITION", "TASK_NEEDS_COMPLETION")
        assert "CompleteTask" in refused[2]
    batch = label_pb2.RecordLabelsRequest(labels=[label])
    (item,) = rig.call(who, "labels", "RecordLabels", batch).items
    assert (item.status, item.reason) == (label_pb2.LABEL_STATUS_REJECTED, "TASK_NEEDS_COMPLETION")
    rig.take_in()
    outcome = rig.review("crm", "GetOutcome", decision_id=answer.decision_id).outcome
    assert outcome.kind == review_pb2.OUTCOME_KIND_PENDING
    rig.complete("ada", task)
    outcome = rig.review("crm", "GetOutcome", decision_id=answer.decision_id).outcome
    assert outcome.kind == review_pb2.OUTCOME_KIND_RELEASED


def test_who_answers_a_task_is_who_calls(rig):
    answer = rig.route("crm", 0.95)
    task_id = audits(rig).task_id
    forged = label_of(answer, task_id, event_id="1", reviewer="ada")
    assert rig.failure("bob", "RecordLabel", "labels", label=forged)[:2] == (
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
    )
    for event, reviewer in (("1", ""), ("2", "bob")):
        label = label_of(answer, task_id, event_id=event, reviewer=reviewer)
        rig.call("bob", "labels", "RecordLabel", label_pb2.RecordLabelRequest(label=label))
    # Whose label another system passes on is that system's word.
    elsewhere = label_of(answer, "", event_id="3", reviewer="agent-7")
    rig.call("bob", "labels", "RecordLabel", label_pb2.RecordLabelRequest(label=elsewhere))
    recorded = [record for record in rig.made.journal.records if isinstance(record, Label)]
    assert [label.reviewer for label in recorded] == ["bob", "bob", "agent-7"]


def test_the_source_of_the_queue_is_its_own(rig):
    label = label_pb2.Label(decision_id="d", source="review", event_id="1", correct=True)
    code, _, message = rig.failure("bob", "RecordLabel", "labels", label=label)
    assert code == "INVALID_ARGUMENT"
    assert "CompleteTask" in message


def test_an_audit_is_betrayed_by_nothing_that_a_caller_can_ask(rig):
    """Of two acting answers one was drawn; every answer to the caller is the same but for the ids."""
    drawn = rig.route("crm", 0.95)
    (recorded,) = rig.ledger.read(queries.decision, drawn.decision_id).answers
    assert recorded.drawn
    plain = builders.altered(recorded, decision_id="plain", answer_id="plain", drawn=False, tasks=())
    rig.ledger.write(intake.take_in, [plain])
    for when in ("before the audit", "after it"):
        for method in ("GetOutcome", "WatchDecision"):
            one, other = (
                rig.failure("crm", method, decision_id=each) for each in (drawn.decision_id, "plain")
            )
            assert one == other, when
            assert one[1] == "NOT_FOLLOWED"
        one, other = (
            rig.call("crm", "decisions", "GetDecision", decision_pb2.GetDecisionRequest(decision_id=each))
            for each in (drawn.decision_id, "plain")
        )
        for record in (one.decision, other.decision):
            record.decision_id = record.answers[0].decision_id = record.answers[0].answer_id = ""
        assert one == other
        assert not rig.review("crm", "ListOutcomes").outcomes
        if when == "before the audit":
            task = rig.lease("ada", kinds=["TASK_KIND_AUDIT"])
            rig.complete("ada", task, "INCORRECT", "UNSPECIFIED", true_class="spam")


def test_a_blind_task_shows_nothing_of_the_answer(rig):
    answer = rig.route("crm", context={"mail": "hello"})
    (recorded,) = rig.ledger.read(queries.decision, answer.decision_id).answers
    blind = builders.altered(
        recorded,
        decision_id="blind",
        answer_id="blind",
        predicted_class="kept-secret",
        final_class="kept-secret",
        calibrated_confidence=0.123456789,
        steps=(
            FallbackStep(
                step="secondary",
                outcome="NOT_CLEARED",
                answer_class="kept-secret",
                raw_confidence=0.123456789,
                calibrated_confidence=0.123456789,
            ),
        ),
        tasks=(PlannedTask(kind=TaskKind.HOLD, due_at=0.0, blind=True),),
    )
    rig.ledger.write(intake.take_in, [blind])
    task = rig.lease("ada")
    assert (task.decision_id, task.blind) == ("blind", True)
    (step,) = task.steps
    assert (step.step, step.outcome) == ("secondary", decision_pb2.STEP_OUTCOME_NOT_CLEARED)
    assert dict(task.context) == {"mail": "hello"}
    listed = rig.review("ada", "ListTasks", decision_id="blind")
    got = rig.review("lead", "GetTask", task_id=task.task_id)
    for message in (task, listed, got):
        assert "kept-secret" not in str(message)
        assert "0.1234" not in str(message)
    done = rig.complete("ada", task, "UNSPECIFIED", "RELEASE_CORRECTED", true_class="kept-secret")
    assert done.task.state == review_pb2.TASK_STATE_COMPLETED
    outcome = rig.review("lead", "GetOutcome", decision_id="blind").outcome
    assert (outcome.kind, outcome.final_class) == (review_pb2.OUTCOME_KIND_RELEASED, "kept-secret")


def test_candidates_are_named_by_the_policy_of_the_decision(rig):
    loaded = loading.parse(
        "version: 1\nmodels: {m: {calibrator: 'file:x', evidence: probabilities, classes: [a, b, c]}}"
    )
    answer = rig.route("crm")
    (recorded,) = rig.ledger.read(queries.decision, answer.decision_id).answers
    vector = builders.altered(
        recorded,
        decision_id="vector",
        answer_id="vector",
        model="m",
        evidence=Evidence("probabilities", (0.2, 0.7, 0.1), answer_index=1),
        policy_digest=loaded.digest,
    )
    rig.ledger.write(intake.take_in, [vector])
    task = rig.lease("ada", models=["m"])
    assert not task.candidates, "the ledger does not have the policy yet"
    rig.ledger.write(intake.take_in, [Artifact(digest=loaded.digest, kind="policy", body=loaded.canonical)])
    task = rig.review("ada", "GetTask", task_id=task.task_id).task
    assert [(each.answer_class, each.raw_confidence) for each in task.candidates] == [
        ("b", 0.7),
        ("a", 0.2),
        ("c", 0.1),
    ]


def test_an_old_fence_is_refused_or_kept_as_stale(rig):
    rig.route("crm")
    old = rig.lease("ada")
    rig.review("ada", "ReleaseTask", task_id=old.task_id, fence=old.lease.fence)
    new = rig.lease("bob")
    assert new.lease.fence == old.lease.fence + 1
    for method in ("ExtendLease", "DeclineTask", "ReleaseTask"):
        failure = rig.failure("ada", method, task_id=old.task_id, fence=old.lease.fence)
        assert failure[:2] == ("FAILED_PRECONDITION", "LEASE_LOST")
    late = rig.complete("ada", old)
    assert (late.stale, late.task.state) == (True, review_pb2.TASK_STATE_LEASED)
    assert not rig.complete("bob", new).stale
    record = rig.call("audit", "labels", "GetLabels", label_pb2.GetLabelsRequest(decision_id=new.decision_id))
    states = {each.label.reviewer: each.state for each in record.labels}
    assert states == {"ada": label_pb2.LABEL_STATE_STALE, "bob": label_pb2.LABEL_STATE_COUNTED}


def test_a_lease_is_extended_and_given_back(rig):
    rig.route("crm")
    task = rig.lease("ada", lease_duration=duration_pb2.Duration(seconds=30))
    longer = rig.review(
        "ada",
        "ExtendLease",
        task_id=task.task_id,
        fence=task.lease.fence,
        lease_duration=duration_pb2.Duration(seconds=1800),
    ).lease
    assert 1700 < longer.expires_at.seconds - task.lease.expires_at.seconds < 1800
    declined = rig.review("ada", "DeclineTask", task_id=task.task_id, fence=1, explanation="no").task
    assert declined.state == review_pb2.TASK_STATE_OPEN
    assert not declined.HasField("lease")
    assert not rig.review("ada", "LeaseTasks").tasks
    assert rig.lease("bob").lease.fence == 2


@pytest.mark.parametrize(
    ("method", "fields", "field"),
    [
        ("LeaseTasks", {"count": 101}, "count"),
        ("LeaseTasks", {"count": -1}, "count"),
        ("LeaseTasks", {"kinds": [99]}, "kinds"),
        ("LeaseTasks", {"models": ["x"] * 101}, "models"),
        ("LeaseTasks", {"skills": ["x" * 300]}, "skills"),
        ("LeaseTasks", {"lease_duration": duration_pb2.Duration(seconds=0)}, "lease_duration"),
        ("LeaseTasks", {"lease_duration": duration_pb2.Duration(seconds=10**11)}, "lease_duration"),
        ("CompleteTask", {"verdict": 9}, "verdict"),
        ("CompleteTask", {"disposition": 9}, "disposition"),
        ("CompleteTask", {"true_class": "x" * 300}, "true_class"),
        ("CompleteTask", {"explanation": "x" * 20_000}, "explanation"),
        ("DeclineTask", {"explanation": "x" * 20_000}, "explanation"),
        ("ListTasks", {"page_size": -1}, "page_size"),
        ("ListTasks", {"page_token": "x"}, "page_token"),
        ("ListOutcomes", {"cursor": "x"}, "cursor"),
        ("ListOutcomes", {"page_size": -1}, "page_size"),
    ],
)
def test_a_bad_field_is_named(rig, method, fields, field):
    code, reason, message = rig.failure("bob", method, **fields)
    assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert message.startswith(field)


@pytest.mark.parametrize("method", ["GetTask", "ExtendLease", "CompleteTask", "DeclineTask", "ReleaseTask"])
def test_a_task_that_is_not_there_is_not_found(rig, method):
    assert rig.failure("bob", method, task_id="x")[:2] == ("NOT_FOUND", "NOT_FOUND")


def test_the_queue_is_listed_in_pages(rig):
    routed = {rig.route("crm").decision_id for _ in range(7)}
    seen, token = [], ""
    while True:
        page = rig.review("audit", "ListTasks", page_size=3, page_token=token)
        assert page.total == 7
        seen += [task.decision_id for task in page.tasks]
        token = page.next_page_token
        if not token:
            break
    assert len(seen) == 7
    assert set(seen) == routed


def test_the_feed_goes_on_where_it_was_left(rig):
    cursor = rig.review("crm", "ListOutcomes").next_cursor
    assert cursor
    ended = []
    for _ in range(5):
        ended.append(rig.route("crm").decision_id)
        rig.complete("ada", rig.lease("ada"))
    seen = []
    while True:
        page = rig.review("crm", "ListOutcomes", cursor=cursor, page_size=2)
        cursor = page.next_cursor
        if not page.outcomes:
            break
        seen += [each.decision_id for each in page.outcomes]
    assert seen == ended
    assert rig.review("crm", "ListOutcomes", cursor=cursor).next_cursor == cursor
    flagged = rig.route("crm", 0.8)
    assert flagged.may_act
    rig.complete("ada", rig.lease("ada", kinds=["TASK_KIND_BATCH"]), "INCORRECT", "UNSPECIFIED")
    (recall,) = rig.review("crm", "ListOutcomes", cursor=cursor).outcomes
    assert (recall.decision_id, recall.kind) == (flagged.decision_id, review_pb2.OUTCOME_KIND_RECALLED)
    assert rig.failure("crm", "ListOutcomes", cursor=cursor, tenant="other")[0] == "INVALID_ARGUMENT"


def kinds(stream):
    return [review_pb2.OutcomeKind.Name(each.outcome.kind).removeprefix("OUTCOME_KIND_") for each in stream]


def test_a_caller_that_waits_is_told_and_the_stream_ends(rig):
    answer = rig.route("crm")
    stream = rig.review("crm", "WatchDecision", decision_id=answer.decision_id, timeout=60)
    assert next(stream).outcome.kind == review_pb2.OUTCOME_KIND_PENDING
    rig.complete("ada", rig.lease("ada"), "INCORRECT", "RELEASE_CORRECTED", true_class="spam")
    assert kinds(stream) == ["CORRECTED"]
    assert kinds(rig.review("crm", "WatchDecision", decision_id=answer.decision_id)) == ["CORRECTED"]


def test_a_stream_may_begin_before_the_ledger_has_the_decision(rig):
    answer = rig.route("crm")
    (recorded,) = rig.ledger.read(queries.decision, answer.decision_id).answers
    late = builders.altered(recorded, decision_id="late", answer_id="late")
    stream = rig.review("crm", "WatchDecision", decision_id="late", timeout=60)
    threading.Timer(0.3, lambda: rig.ledger.write(intake.take_in, [late])).start()
    assert next(stream).outcome.decision_id == "late"
    stream.cancel()


def test_a_stream_ends_with_the_deadline(rig):
    answer = rig.route("crm")
    stream = rig.review("crm", "WatchDecision", decision_id=answer.decision_id, timeout=0.5)
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("known", [True, False])
def test_streams_do_not_take_the_threads_of_calls_and_are_bounded(known, rig, open_rig):
    used = rig if known else open_rig
    who = ("crm", "ada") if known else (None, None)
    most = outcome_watch.MOST_OF_ONE if known else outcome_watch.MOST_WATCHERS
    answer = used.route(who[0])
    streams = [
        used.review(who[0], "WatchDecision", decision_id=answer.decision_id, timeout=60) for _ in range(most)
    ]
    for stream in streams:
        next(stream)
    failure = used.failure(who[0], "WatchDecision", decision_id=answer.decision_id)
    assert failure[:2] == ("RESOURCE_EXHAUSTED", "TOO_MANY_WATCHERS")
    if known:
        # One principal cannot take the places of all others.
        streams.append(used.review("ada", "WatchDecision", decision_id=answer.decision_id, timeout=60))
        next(streams[-1])
    used.complete(who[1], used.lease(who[1]))
    assert all(kinds(stream) == ["RELEASED"] for stream in streams)
    assert kinds(used.review(who[0], "WatchDecision", decision_id=answer.decision_id)) == ["RELEASED"]


def test_a_stream_ends_when_its_token_is_revoked(rig, monkeypatch):
    answer = rig.route("crm")
    stream = rig.review("crm", "WatchDecision", decision_id=answer.decision_id, timeout=60)
    assert next(stream).outcome.kind == review_pb2.OUTCOME_KIND_PENDING
    rig.known.revoked.add("crm")
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_stream_is_told_when_the_service_stops(rig):
    answer = rig.route("crm")
    stream = rig.review("crm", "WatchDecision", decision_id=answer.decision_id, timeout=60)
    next(stream)
    rig.outcomes.stop()
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_cancelled_stream_makes_room(rig):
    answer = rig.route("crm")

    def watch():
        return rig.review("crm", "WatchDecision", decision_id=answer.decision_id, timeout=60)

    streams = [watch() for _ in range(outcome_watch.MOST_OF_ONE)]
    for stream in streams:
        next(stream)
    streams[0].cancel()
    while True:  # the server hears of it a moment later; the test's own time limit ends a vain wait
        stream = watch()
        with contextlib.suppress(grpc.RpcError):
            next(stream)
            break
        time.sleep(0.05)
    for each in (stream, *streams):
        each.cancel()


def test_a_stream_outlives_a_ledger_that_goes_away_for_a_while(rig, monkeypatch):
    answer = rig.route("crm")
    real, away = rig.ledger.read, threading.Event()

    def read(query, *arguments, **more):
        if away.is_set() and query is outcomes.progress:
            raise errors.LedgerUnavailable("away")
        return real(query, *arguments, **more)

    monkeypatch.setattr(rig.ledger, "read", read)
    monkeypatch.setattr(outcome_watch, "UNKNOWN_SECONDS", 0.3)
    stream = rig.review("crm", "WatchDecision", decision_id=answer.decision_id, timeout=60)
    assert next(stream).outcome.kind == review_pb2.OUTCOME_KIND_PENDING
    away.set()
    rig.complete("ada", rig.lease("ada"))
    time.sleep(0.5)
    assert rig.failure("crm", "WatchDecision", decision_id=answer.decision_id)[0] == "UNAVAILABLE"
    away.clear()
    assert kinds(stream) == ["RELEASED"]


LETTER = "x" * 65_000


def test_what_is_long_comes_in_pages_that_a_client_with_defaults_receives(rig):
    held = [rig.route("crm", context={"letter": LETTER}).decision_id for _ in range(70)]
    listed, token = [], ""
    while True:
        page = rig.review("bob", "ListTasks", page_token=token)
        listed += [task.decision_id for task in page.tasks]
        assert page.total == len(held)
        token = page.next_page_token
        if not token:
            break
    assert sorted(listed) == sorted(held)
    leased = []
    while tasks := rig.review("bob", "LeaseTasks", count=100).tasks:
        assert all(task.context["letter"] == LETTER for task in tasks)
        leased += [task.decision_id for task in tasks]
    assert sorted(leased) == sorted(held)


def test_decisions_with_much_evidence_come_in_pages_too(rig):
    tokens = evidence_pb2.TokenLogProbabilities(values=[-0.25] * 20_000)
    request = routing_pb2.RouteRequest(
        model="lead-classifier",
        subject_ref="long",
        evidence=evidence_pb2.Evidence(token_log_probabilities=tokens),
    )
    routed = [rig.call("crm", "routing", "Route", request).decision.decision_id for _ in range(45)]
    rig.take_in()
    listed, token = [], ""
    while True:
        wanted = decision_pb2.ListDecisionsRequest(subject_ref="long", page_token=token)
        page = rig.call("audit", "decisions", "ListDecisions", wanted)
        listed += [record.decision_id for record in page.decisions]
        token = page.next_page_token
        if not token:
            break
    assert sorted(listed) == sorted(routed)


def test_labels_and_outcomes_with_long_words_come_in_pages_too(rig):
    decision = rig.route("crm", 0.95)
    note = "n" * 16_000
    for start in range(0, 300, 100):
        many = [
            label_pb2.Label(
                decision_id=decision.decision_id,
                source="crm",
                event_id=f"{number:03}",
                correct=True,
                note=note,
            )
            for number in range(start, start + 100)
        ]
        rig.call("crm", "labels", "RecordLabels", label_pb2.RecordLabelsRequest(labels=many))
    rig.take_in()
    events, token = [], ""
    while True:
        wanted = label_pb2.GetLabelsRequest(decision_id=decision.decision_id, page_token=token)
        page = rig.call("audit", "labels", "GetLabels", wanted)
        events += [record.label.event_id for record in page.labels]
        token = page.next_page_token
        if not token:
            break
    assert events == [f"{number:03}" for number in range(300)]


def test_a_batch_whose_answers_are_too_large_decides_nothing_and_says_how_many_fit(rig):
    def items(count):
        return routing_pb2.RouteBatchRequest(
            items=[
                routing_pb2.RouteRequest(
                    model="lead-classifier",
                    category="general",
                    subject_ref="s" * 250,
                    predicted_class="interested",
                    evidence=evidence_pb2.Evidence(score=evidence_pb2.Score(confidence=0.95)),
                )
            ]
            * count
        )

    before = len(rig.made.journal.records)
    with pytest.raises(grpc.RpcError) as caught:
        rig.call("crm", "routing", "RouteBatch", items(10_000))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(rig.made.journal.records) == before
    fitting = int(re.search(r"the first ([\d,]+) fit", caught.value.details())[1].replace(",", ""))
    answered = rig.call("crm", "routing", "RouteBatch", items(fitting))
    assert len(answered.items) == fitting
    assert 1 << 20 < answered.ByteSize() < 3 << 20


def test_each_refusal_of_a_large_batch_of_labels_is_told(rig):
    bad = label_pb2.Label(channel="LABEL_CHANNEL_REVIEW_TASK", true_category="t" * 300)
    bad.observed_at.seconds = -1
    answered = rig.call("crm", "labels", "RecordLabels", label_pb2.RecordLabelsRequest(labels=[bad] * 9_000))
    assert len(answered.items) == 9_000
    assert all("label.decision_id" in item.message for item in answered.items)
