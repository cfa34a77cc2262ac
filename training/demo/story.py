"""The story that the demo tells: each chapter does one thing for real, and says what it saw."""

import contextlib
import os
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from trueband.v1 import decision_pb2

import calibrators
from sidecar.ledger.snapshot import open_snapshot
from training import console, registry
from training.data.dataset import Dataset
from training.demo import client, digits, folder, narration, people, processes
from training.demo.client import MODEL, Client
from training.demo.digits import Answers
from training.demo.narration import Narrator
from training.fit import fitting, selection
from training.measure import diagram, reliability
from training.measure.intervals import FloatArray, IntArray
from training.retraining import pipeline
from training.retraining.account import Retrained

REGISTERED = "digits-calibrator"
FIRST = 200
LAST = 3000
MANDATORY_EVERY = 40
POLICY = f"""\
# The policy of the demo: the default bands, one mandatory category.
version: 1
models:
  {MODEL}:
    calibrator: models:/{REGISTERED}@champion
    evidence: logits
    classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    categories:
      general: {{}}
      pricing: {{mandatory_review: true}}
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoutedAnswers:
    """Answers that were routed: which, with which calibrated confidence (NaN where there was none)."""

    indices: IntArray
    calibrated: FloatArray


class Story:
    """Tells and runs the demo in one folder."""

    def __init__(self, folder: Path, *, requests: int, seed: int, narrator: Narrator) -> None:
        self._folder = folder
        self._requests = requests
        self._seed = seed
        self._narrator = narrator

    def run(self) -> None:
        """The whole story. Leaves its files, and no process."""
        prepared = folder.prepare(self._folder, seed=self._seed, policy=POLICY)
        with contextlib.ExitStack() as stack:
            store = stack.enter_context(processes.mlflow(self._folder / "mlflow"))
            settings = prepared.settings | {
                "MLFLOW_TRACKING_URI": store.address,
                "TRUEBAND_POLL_INTERVAL": "1",
            }
            service = stack.enter_context(
                processes.sidecar(prepared.policy, self._folder / "sidecar", settings)
            )
            stack.enter_context(_environment("MLFLOW_TRACKING_URI", store.address))
            data = self._the_model()
            self._narrator.wait("starting the sidecar", service.wait)
            channel = stack.enter_context(grpc.insecure_channel(service.address))
            caller, labeller, person = (
                Client(channel, prepared.tokens[name]) for name in ("service", "labeller", "person")
            )
            self._without_calibrator(caller, data.traffic)
            self._narrator.wait("starting MLflow (SQLite, one worker, loopback)", store.wait)
            first = self._first_calibrator(data.holdout, caller)
            half = self._requests // 2
            clean = self._route(caller, data.traffic, range(half), "clean images")
            self._compare(data.traffic, clean, f"Clean images, calibrator version {first}")
            self._draw(
                data.traffic,
                clean,
                "reliability-calibrated.png",
                "clean images, before and after calibration",
            )
            self._mandatory(caller, data.traffic, clean)
            changed_at = time.time()
            noisy = self._route(caller, data.traffic, range(half, self._requests), "noisy images")
            self._compare(data.traffic, noisy, f"Noisy images, still version {first}: the world has changed")
            people.review(self._narrator, caller, person, data.traffic)
            people.label(self._narrator, caller, labeller, data.traffic, first=FIRST)
            before = self._route_last(caller, data.traffic, "swap-before")
            second = self._retrain(changed_at)
            self._swap(caller, data.traffic, before, second)
            again = self._route(
                caller,
                data.traffic,
                range(self._requests - LAST, self._requests),
                "noisy images again",
                wave="again",
            )
            same = np.isin(noisy.indices, again.indices)
            earlier = RoutedAnswers(indices=noisy.indices[same], calibrated=noisy.calibrated[same])
            self._retrained(data.traffic, earlier, again, first, second)
        self._end()

    def _the_model(self) -> digits.Digits:
        data = digits.prepare(self._requests, self._seed)
        holdout = data.holdout
        self._narrator.title("A real, overconfident model")
        self._narrator.say(
            f"Gaussian naive Bayes on scikit-learn's handwritten digits. On {len(holdout)} images it has never seen, "
            f"its mean confidence is {holdout.confidence.mean():.1%} and it is right {holdout.correct.mean():.1%} of "
            'the time. Whoever reads 0.94 as "94 % sure" is misled.'
        )
        return data

    def _without_calibrator(self, caller: Client, traffic: Answers) -> None:
        self._narrator.title("A sidecar without a calibrator")
        held = [decision for _, decision in caller.route(traffic, range(FIRST), wave="first")]
        holds = sum(decision.action == decision_pb2.ACTION_HOLD_FOR_REVIEW for decision in held)
        reasons = {decision_pb2.Reason.Name(reason) for decision in held for reason in decision.reasons}
        self._narrator.say(
            f"{FIRST} answers were routed over gRPC: {holds} held for review, {sum(d.may_act for d in held)} may act "
            f"({', '.join(sorted(reasons))}). A raw score never routes."
        )

    def _first_calibrator(self, holdout: Answers, caller: Client) -> str:
        self._narrator.title("A first calibrator, from a labelled holdout file")
        np.savez_compressed(self._folder / "holdout.npz", logits=holdout.logits, labels=holdout.truth)
        dataset = Dataset.from_logits(holdout.logits, holdout.truth)
        chosen = selection.select(dataset, seed=self._seed)
        fitted = fitting.calibrator(
            chosen.fitted,
            dataset,
            applies_to=calibrators.AppliesTo(
                model=MODEL, model_versions=(client.MODEL_VERSION,), evidence="logits", answer="argmax"
            ),
            note="the demo's first",
        )
        (self._folder / "calibrator-1.json").write_text(calibrators.dumps(fitted), encoding="utf-8")
        self._narrator.show(console.candidates_table(chosen))
        self._narrator.say(f"Chosen: {chosen.reason}.")
        version = self._narrator.wait(
            "registering it in MLflow, alias champion",
            lambda: registry.publish(
                fitted, name=REGISTERED, alias="champion", description="Fitted to the demo's holdout file."
            ),
        )
        self._narrator.wait(
            "waiting for the running sidecar to pick it up", lambda: caller.wait_for_version(version)
        )
        self._narrator.say(f"The running sidecar took over version {version} ({fitted.kind}) by itself.")
        return version

    def _route(
        self, caller: Client, traffic: Answers, indices: range, what: str, *, wave: str = "live"
    ) -> RoutedAnswers:
        self._narrator.title(f"{len(indices):,} answers about {what}, routed over gRPC")
        answered: list[int] = []
        calibrated: list[float] = []
        actions: dict[int, int] = {}
        with self._narrator.progress(len(indices), "routing") as advance:
            for index, decision in caller.route(traffic, indices, wave=wave, mandatory_every=MANDATORY_EVERY):
                answered.append(index)
                known = decision.HasField("calibrated_confidence")
                calibrated.append(decision.calibrated_confidence if known else float("nan"))
                actions[decision.action] = actions.get(decision.action, 0) + 1
                advance(1)
        told = ", ".join(
            f"{count:,} {decision_pb2.Action.Name(action).removeprefix('ACTION_')}"
            for action, count in sorted(actions.items())
        )
        self._narrator.say(
            f"{told}. One answer in {MANDATORY_EVERY} is about pricing, which no confidence may release."
        )
        return RoutedAnswers(indices=np.array(answered), calibrated=np.array(calibrated))

    def _compare(self, traffic: Answers, routed: RoutedAnswers, title: str) -> None:
        correct = traffic.correct[routed.indices]
        columns = {"raw": traffic.confidence[routed.indices], "calibrated": routed.calibrated}
        self._narrator.show(narration.band_table(title, columns, correct))

    def _mandatory(self, caller: Client, traffic: Answers, routed: RoutedAnswers) -> None:
        self._narrator.title("A mandatory category")
        best = int(routed.indices[int(np.nanargmax(routed.calibrated))])
        message = client.request(traffic, best, "mandatory", pricing=True)
        decision = caller.route_one(message)
        reasons = ", ".join(
            decision_pb2.Reason.Name(reason).removeprefix("REASON_") for reason in decision.reasons
        )
        self._narrator.say(
            f"The most confident answer of all, asked again in category pricing: raw {decision.raw_confidence:.4f}, "
            f"calibrated {decision.calibrated_confidence:.4f}, band {decision.band} -> "
            f"{decision_pb2.Action.Name(decision.action)}, may act: {decision.may_act} ({reasons}; floor "
            f"{decision.floors[0].floor})."
        )

    def _retrain(self, since: float) -> str:
        self._narrator.title("A retrain from the labels since the images changed, and the gate's verdict")
        ledger = f"sqlite:///{self._folder / 'sidecar' / 'ledger.db'}"

        def run() -> Retrained:
            with open_snapshot(ledger) as snapshot:
                return pipeline.retrain(
                    snapshot, MODEL, since=since, promote=True, by="demo", seed=self._seed
                )

        retrained = self._narrator.wait("fitting every candidate, judging, registering the challenger", run)
        console.show_retrain(self._narrator.screen, retrained)
        if not retrained.promoted:
            person = retrained.verdict.outcome == "needs_a_person"
            self._narrator.say(
                "So large a shift in routing is a person's decision. The demo approves it, as `trueband-training "
                "promote VERSION --approve` would; without that, every sidecar would refuse the version."
                if person
                else "The gate kept the champion. The demo goes on all the same: it promotes by hand, and says so."
            )
            reason = "the shift in routing is what noisy images deserve" if person else "to show the swap"
            registry.promote(REGISTERED, retrained.version, approve=True, by="demo", reason=reason)
        return retrained.version

    def _route_last(self, caller: Client, traffic: Answers, request_id: str) -> decision_pb2.Decision:
        last = client.request(traffic, self._requests - 1, request_id, pricing=False)
        return caller.route_one(last)

    def _swap(self, caller: Client, traffic: Answers, before: decision_pb2.Decision, second: str) -> None:
        self._narrator.title("The hot swap")
        self._narrator.wait("waiting for the running sidecar", lambda: caller.wait_for_version(second))
        after = self._route_last(caller, traffic, "swap-after")
        for name, decision in (("before", before), ("after", after)):
            self._narrator.say(
                f"{name:7} calibrator version {decision.calibrator.version}: raw {decision.raw_confidence:.3f}, "
                f"calibrated {decision.calibrated_confidence:.3f}, "
                f"{decision_pb2.Action.Name(decision.action).removeprefix('ACTION_')}"
            )
        self._narrator.say("The same image, without a restart; every answer names the version that made it.")

    def _retrained(
        self, traffic: Answers, before: RoutedAnswers, after: RoutedAnswers, first: str, second: str
    ) -> None:
        columns = {f"version {first}": before.calibrated, f"version {second}": after.calibrated}
        title = f"The same {len(after.indices):,} noisy images under both versions"
        self._narrator.show(narration.band_table(title, columns, traffic.correct[after.indices]))
        correct = traffic.correct[after.indices]
        diagram.draw_reliability(
            reliability.reliability(before.calibrated, correct),
            reliability.reliability(after.calibrated, correct),
            self._folder / "reliability-retrained.png",
            bands=diagram.DEFAULT_SPANS,
            title="Digits: noisy images, before and after the retrain",
            names=(f"calibrator version {first}", f"calibrator version {second}"),
        )

    def _draw(self, traffic: Answers, routed: RoutedAnswers, name: str, title: str) -> None:
        correct = traffic.correct[routed.indices]
        diagram.draw_reliability(
            reliability.reliability(traffic.confidence[routed.indices], correct),
            reliability.reliability(routed.calibrated, correct),
            self._folder / name,
            bands=diagram.DEFAULT_SPANS,
            title=f"Digits: {title}",
        )

    def _end(self) -> None:
        self._narrator.title("What is left")
        shown = {
            "reliability-calibrated.png": "reliability, raw against calibrated",
            "reliability-retrained.png": "reliability on noisy images, before and after the retrain",
            "sidecar/ledger.db": "the ledger: every decision, label and task (SQLite)",
            "mlflow/mlflow.db": "the MLflow store: both calibrators with their evidence",
            "policy.yaml": "the policy; `trueband-sidecar spec` turns it into a document",
            "holdout.npz": "the labelled holdout; try `trueband-training fit --from-file`",
        }
        for name, meaning in shown.items():
            self._narrator.show(f"  {self._folder / name}  [dim]{meaning}[/dim]")
        command = shlex.join([*processes.mlflow_command(self._folder / "mlflow"), "--port", "5000"])
        self._narrator.say("Open the MLflow page at http://127.0.0.1:5000 with:")
        self._narrator.show(f"  {command}")


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
