"""kill -9 amid concurrent traffic, several lives over one folder: what was acknowledged is kept, once."""

import random
import signal
import threading
from collections import Counter
from dataclasses import dataclass, field

import grpc
import pytest
from trueband.v1 import decision_pb2, evidence_pb2, label_pb2, routing_pb2

from sidecar.decision import records
from sidecar.decision.records import Decision, Label
from sidecar.journal.journal import Journal
from sidecar.ledger import facts, labelled, queries, queue
from sidecar.policy.actions import TaskKind

LIVES = 4
THREADS = 4
CATEGORIES = ("general", "refunds", "pricing", "unheard-of")


@dataclass
class Caller:
    """One caller with a memory: what it was told, and what it never heard back about and will send again."""

    name: str
    rng: random.Random
    answers: dict[str, decision_pb2.Decision] = field(default_factory=dict)  # by answer_id
    labels: dict[str, label_pb2.Label] = field(default_factory=dict)  # by event_id
    unheard: list[routing_pb2.RouteBatchRequest | label_pb2.Label] = field(default_factory=list)
    sent: int = 0
    surprise: Exception | None = None

    def work(self, sidecar, enough: threading.Event) -> None:
        """Calls until the service dies, or until it is enough and nothing is left to send again."""
        again, self.unheard = self.unheard, []
        while not enough.is_set() or again:
            message = again.pop() if again else self.next()
            self.unheard.append(message)
            try:
                self.send(sidecar, message)
            except (grpc.RpcError, AssertionError) as error:
                self.unheard += again
                if not (isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.UNAVAILABLE):
                    self.surprise = error
                return
            self.unheard.pop()

    def next(self) -> routing_pb2.RouteBatchRequest | label_pb2.Label:
        if self.answers and self.rng.random() < 0.35:
            return self.label()
        size = 1 if self.rng.random() < 0.5 else self.rng.randint(2, 20)
        return routing_pb2.RouteBatchRequest(items=[self.request() for _ in range(size)])

    def request(self) -> routing_pb2.RouteRequest:
        self.sent += 1
        score = evidence_pb2.Score(confidence=self.rng.random())
        return routing_pb2.RouteRequest(
            model="leads",
            request_id=f"{self.name}-{self.sent}",
            category=self.rng.choice(CATEGORIES),
            predicted_class="interested",
            evidence=evidence_pb2.Evidence(score=score),
        )

    def label(self) -> label_pb2.Label:
        if self.labels and self.rng.random() < 0.2:  # the same event once more
            return self.rng.choice(list(self.labels.values()))
        self.sent += 1
        about = self.rng.choice(list(self.answers.values()))
        return label_pb2.Label(
            decision_id=about.decision_id,
            correct=self.rng.random() < 0.8,
            source=self.name,
            event_id=f"event-{self.sent}",
        )

    def send(self, sidecar, message: routing_pb2.RouteBatchRequest | label_pb2.Label) -> None:
        if isinstance(message, label_pb2.Label):
            request = label_pb2.RecordLabelRequest(label=message)
            status = sidecar.labels.RecordLabel(request).status
            assert status in (label_pb2.LABEL_STATUS_ACCEPTED, label_pb2.LABEL_STATUS_DUPLICATE)
            self.labels[message.event_id] = message
        elif len(message.items) == 1:
            decision = sidecar.routing.Route(message.items[0]).decision
            self.answers[decision.answer_id] = decision
        else:
            for item in sidecar.routing.RouteBatch(message).items:
                assert item.WhichOneof("outcome") == "decision"
                self.answers[item.decision.answer_id] = item.decision


def live_and_die(sidecar, callers: list[Caller], least: int) -> None:
    """Kills the service once it has acknowledged so many things in this life, with calls in flight."""
    enough = threading.Event()
    before = acknowledged(callers)
    threads = [threading.Thread(target=caller.work, args=(sidecar, enough)) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        sidecar.until(
            lambda: acknowledged(callers) >= before + least or any(caller.surprise for caller in callers),
            "so many acknowledgements",
        )
        sidecar.signal(signal.SIGKILL)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert sidecar.wait() == -signal.SIGKILL
    assert [caller.surprise for caller in callers if caller.surprise] == []


def acknowledged(callers: list[Caller]) -> int:
    return sum(len(caller.answers) + len(caller.labels) for caller in callers)


def same(told: decision_pb2.Decision, kept: Decision) -> bool:
    """Whether the ledger has what the caller was told, to the last bit."""
    confidence = told.calibrated_confidence if told.HasField("calibrated_confidence") else None
    return (
        told.decision_id == kept.decision_id
        and told.may_act is kept.may_act
        and decision_pb2.Action.Name(told.action) == f"ACTION_{kept.action}"
        and confidence == kept.verdict.calibrated_confidence
    )


def check_journal(sidecar, callers: list[Caller]) -> None:
    """Reads the journal of the dead: numbered without a gap, and all that was acknowledged is in it."""
    kept: dict[str, Decision] = {}
    events: set[tuple[str, str]] = set()
    sequences = []
    with Journal(sidecar.data_dir / "journal") as journal:
        position = journal.start
        while (batch := journal.read(position, 1000))[0]:
            entries, position = batch
            sequences += [entry.sequence for entry in entries]
            for record in (records.decode(entry.body) for entry in entries):
                if isinstance(record, Decision):
                    assert record.answer_id not in kept
                    kept[record.answer_id] = record
                elif isinstance(record, Label):
                    events.add((record.source, record.event_id))
        assert journal.recovery.corrupt_regions == 0
    assert sequences == list(range(1, len(sequences) + 1))
    for caller in callers:
        assert caller.labels.keys() <= {event for source, event in events if source == caller.name}
        for answer_id, told in caller.answers.items():
            assert same(told, kept[answer_id])


def check_ledger(sidecar, callers: list[Caller]) -> None:
    """Compares the ledger with what the callers were told."""
    with sidecar.ledger() as ledger:
        decision_ids = {told.decision_id for caller in callers for told in caller.answers.values()}
        stored = {decision_id: ledger.read(queries.decision, decision_id) for decision_id in decision_ids}
        answers = [answer for each in stored.values() for answer in (each.answers if each else ())]
        kept = {answer.answer_id: answer for answer in answers}
        assert len(kept) == len(answers)
        for caller in callers:
            for answer_id, told in caller.answers.items():
                assert same(told, kept[answer_id])
        # Every answer is counted once, also those whose callers never heard of them.
        listed, token = 0, ""
        while True:
            page = ledger.read(queries.decisions, page_size=1000, page_token=token)
            listed += sum(len(each.answers) for each in page.items)
            token = page.next_page_token
            if not token:
                break
        assert listed >= len(answers)
        assert sum(stratum.n for stratum in ledger.read(facts.strata, "leads", None, None)) == listed

        tasks: Counter[tuple[str, TaskKind]] = Counter()
        token = ""
        while True:
            page = ledger.read(queue.tasks, page_size=1000, page_token=token)
            tasks.update((task.decision_id, task.kind) for task in page.items)
            token = page.next_page_token
            if not token:
                break
        planned = {(answer.decision_id, task.kind) for answer in answers for task in answer.tasks}
        assert planned <= tasks.keys()
        assert max(tasks.values()) == 1

        for caller in callers:
            for event_id, label in caller.labels.items():
                found = [
                    each.label
                    for each in ledger.read(labelled.resolved, label.decision_id)
                    if (each.label.source, each.label.event_id) == (caller.name, event_id)
                ]
                assert [each.correct for each in found] == [label.correct]
        with ledger._engine.connect() as connection:
            reused = connection.exec_driver_sql("SELECT COUNT(*) FROM label_event_reuses").scalar()
        assert reused == 0, "the same label sent again is the same label"


@pytest.mark.parametrize("ledger", ["there", "away until the end"])
def test_everything_acknowledged_is_kept_exactly_once(make_sidecar, ledger: str) -> None:
    sidecar = make_sidecar()
    sidecar.write_calibrator()
    rng = random.Random(f"kill {ledger}")
    callers = [Caller(f"caller-{number}", random.Random(rng.random())) for number in range(THREADS)]
    nowhere = ("--ledger-url", f"sqlite:///{sidecar.home / 'nowhere' / 'ledger.db'}")
    for _ in range(LIVES):
        sidecar.start(*(() if ledger == "there" else nowhere))
        live_and_die(sidecar, callers, least=rng.randint(20, 600))
        if ledger != "there":
            check_journal(sidecar, callers)
    assert all(caller.answers and caller.labels for caller in callers)

    sidecar.start()
    # What nobody ever answered is sent again, as callers do; then everything is quiet.
    for caller in callers:
        over = threading.Event()
        over.set()
        caller.work(sidecar, over)
        assert not caller.unheard
        assert caller.surprise is None
    sidecar.caught_up()
    assert sidecar.status().mandatory_without_human_total == 0
    assert sidecar.stop() == 0
    check_ledger(sidecar, callers)
    assert not list((sidecar.data_dir / "journal").glob("*.corrupt"))
