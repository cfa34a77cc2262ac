"""The demo's side of the contract: a service that routes answers, and a labeller that works the queue."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import grpc
from trueband.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    decision_pb2,
    evidence_pb2,
    label_pb2,
    label_pb2_grpc,
    review_pb2,
    review_pb2_grpc,
    routing_pb2,
    routing_pb2_grpc,
)

from training.demo.digits import Answers

BATCH = 250
PAGE = 1000
DEADLINE_SECONDS = 30.0
POLL_SECONDS = 0.1
MODEL = "digits"
MODEL_VERSION = "nb-1"
MOST_LEASED = 100
HELD = (review_pb2.TASK_KIND_HOLD, review_pb2.TASK_KIND_ESCALATION)
"""The kinds of task that end by a completion only, since somebody waits for what it permits."""


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """How many labels of which kind of task were recorded."""

    held: int
    audited: int


class Client:
    """Speaks to one sidecar in the name of one principal."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._routing = routing_pb2_grpc.RoutingServiceStub(channel)
        self._labels = label_pb2_grpc.LabelServiceStub(channel)
        self._review = review_pb2_grpc.ReviewServiceStub(channel)
        self._admin = admin_pb2_grpc.AdminServiceStub(channel)

    def route(
        self, answers: Answers, indices: Iterable[int], *, wave: str, mandatory_every: int = 0
    ) -> Iterator[tuple[int, decision_pb2.Decision]]:
        """The decision on each of the answers, as the batches come back.

        Args:
            answers: of the model.
            indices: which of them.
            wave: makes the request ids of one sending different from another's.
            mandatory_every: every so manieth answer is about pricing, which a person must see; 0: none.
        """
        chosen = list(indices)
        for start in range(0, len(chosen), BATCH):
            part = chosen[start : start + BATCH]
            requests = [
                request(
                    answers,
                    index,
                    f"{wave}-{index}",
                    pricing=bool(mandatory_every and index % mandatory_every == 0),
                )
                for index in part
            ]
            response = self._routing.RouteBatch(
                routing_pb2.RouteBatchRequest(items=requests),
                timeout=DEADLINE_SECONDS,
                metadata=self._metadata,
            )
            for index, item in zip(part, response.items, strict=True):
                yield index, item.decision

    def route_one(self, message: routing_pb2.RouteRequest) -> decision_pb2.Decision:
        """The decision on one answer."""
        return self._routing.Route(message, timeout=DEADLINE_SECONDS, metadata=self._metadata).decision

    def wait_for_version(self, version: str) -> None:
        """Returns once the sidecar has taken over a version of the calibrator by itself."""
        while True:
            status = self._admin.GetStatus(
                admin_pb2.GetStatusRequest(), timeout=DEADLINE_SECONDS, metadata=self._metadata
            )
            if any(slot.calibrator.version == version for slot in status.calibrators):
                return
            time.sleep(POLL_SECONDS)

    def wait_for_ledger(self) -> None:
        """Returns once the ledger has all that was decided and labelled."""
        while True:
            status = self._admin.GetStatus(
                admin_pb2.GetStatusRequest(), timeout=DEADLINE_SECONDS, metadata=self._metadata
            )
            if status.journal.backlog_records == 0:
                return
            time.sleep(POLL_SECONDS)

    def tasks(self) -> Iterator[review_pb2.Task]:
        """The tasks in which a decision is held or audited, the most urgent first."""
        token = ""
        while True:
            page = self._review.ListTasks(
                review_pb2.ListTasksRequest(
                    kinds=[*HELD, review_pb2.TASK_KIND_AUDIT], page_size=PAGE, page_token=token
                ),
                timeout=DEADLINE_SECONDS,
                metadata=self._metadata,
            )
            yield from page.tasks
            token = page.next_page_token
            if not token:
                return

    def label(self, truth: Mapping[str, int], progress: Callable[[int], None]) -> LabelCounts:
        """Works the whole queue, as a person would who looks at each image and writes down the digit.

        Held tasks are leased and completed; audits, for which nobody waits, are labelled in batches.
        """
        audits = [task for task in self.tasks() if task.kind == review_pb2.TASK_KIND_AUDIT]
        held = 0
        while leased := self._leased():
            for task in leased:
                self.complete(task, str(truth[task.subject_ref]))
            held += len(leased)
            progress(len(leased))
        for start in range(0, len(audits), BATCH):
            part = audits[start : start + BATCH]
            self._label_audits(part, truth)
            progress(len(part))
        return LabelCounts(held=held, audited=len(audits))

    def _leased(self) -> list[review_pb2.Task]:
        wanted = review_pb2.LeaseTasksRequest(kinds=HELD, count=MOST_LEASED)
        response = self._review.LeaseTasks(wanted, timeout=DEADLINE_SECONDS, metadata=self._metadata)
        return list(response.tasks)

    def _label_audits(self, audits: Sequence[review_pb2.Task], truth: Mapping[str, int]) -> None:
        labels = [
            label_pb2.Label(
                decision_id=task.decision_id,
                about=label_pb2.LABEL_SUBJECT_PRIMARY,
                true_class=str(truth[task.subject_ref]),
                source="demo-labeller",
                event_id=task.task_id,
                task_id=task.task_id,
                channel=label_pb2.LABEL_CHANNEL_AUDIT_TASK,
            )
            for task in audits
        ]
        response = self._labels.RecordLabels(
            label_pb2.RecordLabelsRequest(labels=labels), timeout=DEADLINE_SECONDS, metadata=self._metadata
        )
        refused = [item for item in response.items if item.status == label_pb2.LABEL_STATUS_REJECTED]
        if refused:
            raise RuntimeError(f"{len(refused)} labels were refused: {refused[0].message}")

    def lease_one(self) -> review_pb2.Task:
        """The most urgent held task, now this reviewer's."""
        wanted = review_pb2.LeaseTasksRequest(kinds=[review_pb2.TASK_KIND_HOLD], count=1)
        leased = self._review.LeaseTasks(wanted, timeout=DEADLINE_SECONDS, metadata=self._metadata)
        return leased.tasks[0]

    def complete(self, task: review_pb2.Task, truth: str) -> None:
        """Says what is true about a task's answer, and releases what is right."""
        right = not task.blind and task.predicted_class == truth
        wrong = review_pb2.VERDICT_UNSPECIFIED if task.blind else review_pb2.VERDICT_INCORRECT
        request = review_pb2.CompleteTaskRequest(
            task_id=task.task_id,
            fence=task.lease.fence,
            verdict=review_pb2.VERDICT_CORRECT if right else wrong,
            true_class="" if right else truth,
            disposition=review_pb2.DISPOSITION_RELEASE if right else review_pb2.DISPOSITION_RELEASE_CORRECTED,
            explanation="looked at the image",
        )
        self._review.CompleteTask(request, timeout=DEADLINE_SECONDS, metadata=self._metadata)

    def watch(self, decision_id: str) -> Iterator[review_pb2.Outcome]:
        """The outcomes of a held decision, as they come, until it is final."""
        request = review_pb2.WatchDecisionRequest(decision_id=decision_id)
        for response in self._review.WatchDecision(
            request, timeout=DEADLINE_SECONDS, metadata=self._metadata
        ):
            yield response.outcome


def request(answers: Answers, index: int, request_id: str, *, pricing: bool) -> routing_pb2.RouteRequest:
    """What a service asks about one answer of the model."""
    return routing_pb2.RouteRequest(
        model=MODEL,
        model_version=MODEL_VERSION,
        request_id=request_id,
        subject_ref=request_id,
        group_key=f"image-{answers.images[index]}",
        category="pricing" if pricing else "general",
        predicted_class=str(int(answers.logits[index].argmax())),
        evidence=evidence_pb2.Evidence(logits=evidence_pb2.Logits(values=answers.logits[index].tolist())),
        context={"image": f"digit image {answers.images[index]}"},
    )
