"""The steps of the closed loop: a real sidecar process, a real MLflow server, a real ledger, a real model."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from trueband.v1 import decision_pb2, review_pb2

import calibrators
from sidecar import cli
from sidecar.decision import recompute
from sidecar.ledger import artifacts, queries
from sidecar.ledger.snapshot import open_snapshot
from sidecar.ledger.store import Ledger
from tests.sidecar import stores
from training import registry
from training.data.dataset import Dataset
from training.demo import client, digits, folder, processes
from training.demo.client import MODEL, MODEL_VERSION, Client
from training.fit import fitting, selection
from training.measure import diagram, intervals
from training.retraining import pipeline
from training.retraining.account import Retrained

REQUESTS = 5000
FIRST = 40
SEED = 2
NAME = "loop-calibrator"
# Every second decision that acts or is rejected is audited, so that a few thousand are enough to learn from.
POLICY = f"""
version: 1
models:
  {MODEL}:
    calibrator: models:/{NAME}@champion
    evidence: logits
    classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    bands:
      - {{name: auto, from: 0.90, action: AUTO_ROUTE, audit_rate: 0.5}}
      - {{name: flagged, from: 0.70, action: AUTO_ROUTE_FLAGGED, review: next_day, audit_rate: 0.5}}
      - {{name: hold, from: 0.50, action: HOLD_FOR_REVIEW}}
      - {{name: reject, from: 0.00, action: REJECT, audit_rate: 0.5}}
    categories:
      general: {{}}
      pricing: {{mandatory_review: true}}
"""


@dataclass(frozen=True)
class Routed:
    """Decisions, the positions of their answers in the traffic, and which of these answers were right."""

    decisions: list[decision_pb2.Decision]
    indices: list[int]
    correct: np.ndarray

    @property
    def actions(self) -> set[str]:
        return {decision_pb2.Action.Name(each.action).removeprefix("ACTION_") for each in self.decisions}

    @property
    def reasons(self) -> set[str]:
        found = {reason for each in self.decisions for reason in each.reasons}
        return {decision_pb2.Reason.Name(reason).removeprefix("REASON_") for reason in found}

    @property
    def versions(self) -> set[str]:
        """Of the calibrators that made them."""
        return {each.calibrator.version for each in self.decisions}

    @property
    def acting(self) -> int:
        return sum(each.may_act for each in self.decisions)

    @property
    def raw(self) -> np.ndarray:
        return np.array([each.raw_confidence for each in self.decisions])

    @property
    def calibrated(self) -> np.ndarray:
        return np.array([each.calibrated_confidence for each in self.decisions])


class Loop:
    """One turn of the loop, step by step."""

    def __init__(
        self, home: Path, channel: grpc.Channel, data: digits.Digits, tokens: Mapping[str, str]
    ) -> None:
        self.home = home
        self._data = data
        self._caller = Client(channel, tokens["service"])
        self._labeller = Client(channel, tokens["labeller"])
        self._person = Client(channel, tokens["person"])
        self._waves = 0

    def route(self, indices: Iterable[int]) -> Routed:
        """Routes answers of category `general` over gRPC."""
        self._waves += 1
        found = list(self._caller.route(self._data.traffic, indices, wave=f"wave{self._waves}"))
        positions = [index for index, _ in found]
        correct = self._data.traffic.correct[positions]
        return Routed([decision for _, decision in found], positions, correct)

    def clean_images(self) -> Routed:
        return self.route(range(REQUESTS // 2))

    def noisy_images(self) -> Routed:
        """The same model on pixels with noise: it is as sure as before, and right less often."""
        return self.route(range(REQUESTS // 2, REQUESTS))

    def ask_about_pricing(self, index: int) -> decision_pb2.Decision:
        return self._caller.route_one(client.request(self._data.traffic, index, "price", pricing=True))

    def register_first_calibrator(self) -> str:
        """Fits one to the labelled holdout and registers it as champion: its version."""
        holdout = Dataset.from_logits(self._data.holdout.logits, self._data.holdout.truth)
        applies = calibrators.AppliesTo(
            model=MODEL, model_versions=(MODEL_VERSION,), evidence="logits", answer="argmax"
        )
        chosen = selection.select(holdout, seed=SEED)
        fitted = fitting.calibrator(chosen.fitted, holdout, applies_to=applies)
        return registry.publish(
            fitted, name=NAME, alias="champion", description="from the holdout", by="loop"
        )

    def until_answers_carry(self, version: str) -> None:
        self._caller.wait_for_version(version)

    def review_most_urgent(self) -> tuple[review_pb2.Task, review_pb2.Outcome]:
        """A person takes the most urgent hold, and decides; what the caller hears of it."""
        self._caller.wait_for_ledger()
        task = self._person.lease_one()
        self._person.complete(task, str(self._digits()[task.context["image"]]))
        *_, last = self._caller.watch(task.decision_id)
        return task, last

    def label_the_queue(self) -> client.LabelCounts:
        """Works every held and audited task, as somebody would who looks at the image."""
        self._caller.wait_for_ledger()
        digits_of = self._digits()
        truth = {task.subject_ref: digits_of[task.context["image"]] for task in self._labeller.tasks()}
        labelled = self._labeller.label(truth, lambda _: None)
        self._caller.wait_for_ledger()
        assert not list(self._labeller.tasks()), "the queue is empty"
        return labelled

    def _digits(self) -> dict[str, int]:
        """What each image shows."""
        traffic = self._data.traffic
        named = zip(traffic.images, traffic.truth, strict=True)
        return {f"digit image {image}": int(truth) for image, truth in named}

    def retrain(self, *, since: float, promote: bool) -> Retrained:
        with self.ledger() as ledger:
            return pipeline.retrain(ledger, MODEL, since=since, promote=promote, by="loop", seed=SEED)

    def approve(self, version: str) -> None:
        """A person promotes what the gate leaves to a person."""
        registry.promote(NAME, version, approve=True, by="ada", reason="noisy images deserve it")

    def roll_back(self) -> registry.Promotion:
        return registry.rollback(NAME, by="loop", reason="the story wants it")

    def tags(self, version: str) -> dict[str, str]:
        from mlflow import MlflowClient

        return dict(MlflowClient().get_model_version(NAME, version).tags)

    def ledger(self) -> Any:
        return open_snapshot(f"sqlite:///{self.home / 'ledger.db'}")

    def explain(self, decision: decision_pb2.Decision) -> int:
        """The exit code of `python -m sidecar explain ID --recompute`."""
        arguments = ["explain", decision.decision_id, "--recompute", "--data-dir", str(self.home)]
        return cli.main(arguments)

    def differences(self, ledger: Ledger, told: decision_pb2.Decision) -> list[str]:
        """What the stored decision, or deciding it again, has otherwise than what the caller was told."""
        stored = ledger.read(queries.decision, told.decision_id)
        assert stored is not None
        (answer,) = stored.answers
        with ledger.reading() as at:
            policy = artifacts.text_of(at, answer.provenance.policy_digest)
            calibrator = artifacts.text_of(at, told.calibrator.digest)
        assert policy is not None
        slot = stores.in_force(ledger, answer.provenance.sidecar_id, f"calibrator:{MODEL}", answer.decided_at)
        assert (slot.digest if slot else "") == told.calibrator.digest
        if told.HasField("calibrator"):
            assert calibrator is not None
        verdict = recompute.recompute(answer, policy, calibrator)
        found = recompute.differences(answer, verdict)
        if (
            told.HasField("calibrated_confidence")
            and told.calibrated_confidence != verdict.calibrated_confidence
        ):
            found.append(f"told {told.calibrated_confidence!r}")
        return found


def promise_kept(
    confidence: np.ndarray, correct: np.ndarray, band: diagram.BandSpan = diagram.DEFAULT_SPANS[0]
) -> bool:
    """Whether the answers in a band may be correct as often as its lower edge promises, by 95 % (Wilson)."""
    inside = band.holds(confidence)
    assert inside.any()
    _, upper = intervals.wilson(float(correct[inside].sum()), int(inside.sum()))
    return bool(upper >= band.low)


@pytest.fixture
def promise() -> Callable[..., bool]:
    return promise_kept


@pytest.fixture
def loop(tmp_path: Path, mlflow_registry: str) -> Iterator[Loop]:
    """A sidecar that has just started, and a registry that knows no calibrator."""
    # Keys and tokens follow from the seed, so that every run draws the same audits.
    prepared = folder.prepare(tmp_path / "loop", seed=SEED, policy=POLICY)
    home = tmp_path / "sidecar"
    settings = prepared.settings | {
        "MLFLOW_TRACKING_URI": mlflow_registry,
        "TRUEBAND_POLL_INTERVAL": "0.2",
    }
    data = digits.prepare(REQUESTS, SEED)
    with processes.sidecar(prepared.policy, home, settings) as service:
        service.wait()
        with grpc.insecure_channel(service.address) as channel:
            yield Loop(home, channel, data, prepared.tokens)
    assert "unhandled_exception" not in service.log.read_text()
