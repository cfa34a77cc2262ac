"""Records of every kind as this version writes them: what lies in `stored`, for all later versions to read.

A format that was released is never written again: `python -m tests.sidecar.stored_records` refuses to replace one.
"""

import itertools
import sqlite3
import sys
import tempfile
from pathlib import Path

import calibrators
from calibrators import Constant, Evidence, Isotonic, LowerCurve, Platt
from sidecar.decision import records
from sidecar.decision.records import Artifact, Governance, InForce, Record, ShadowCounts, ShadowPair
from sidecar.decision.suspensions import Resumption, Scope, Suspension
from sidecar.journal.forwarder import Forwarder
from sidecar.journal.journal import Journal
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Intent
from tests import builders
from tests.sidecar import services

STORED = Path(__file__).parent / "stored"
SIDECAR = "sidecar-a"

POLICY = """
version: 1
models:
  lead-classifier:
    calibrator: models:/lead-classifier-calibrator@champion
    evidence: EVIDENCE
    CLASSES
    model_version: any
    MODE
    categories:
      general: {}
      refunds: {audit_rate: 0.5}
      ranged: {mandatory_review: [{from: 0.8, to: 1.0}]}
    fallback: [{step: rules, rules: [{name: stop, when: 'attributes.keyword == "stop"', answer: not_now,
                calibrator: models:/rule-stop@champion}]}]
detectors: [{name: contracts, category: legal_language, fields: [text], pattern: hereby}]
"""
CURVE = LowerCurve(level=0.95, method="m", confidences=(0.5, 1.0), bounds=(0.4, 0.95))
KINDS = {
    "score": (
        Isotonic((0.1, 0.5, 0.9), (0.2, 0.6, 0.95)),
        [Evidence("score", (0.05 * n,)) for n in range(21)],
    ),
    "positive_probability": (
        Platt(1.5, 0.25),
        [Evidence("positive_probability", (0.1 * n,)) for n in range(11)],
    ),
    "probabilities": (
        calibrators.Identity(),
        [Evidence("probabilities", (0.9 - 0.08 * n, 0.1, 0.08 * n)) for n in range(8)],
    ),
    "logits": (calibrators.Temperature(2.0), [Evidence("logits", (2.0 - n, 0.5, n - 1.0)) for n in range(4)]),
    "token_logprobs": (
        calibrators.Identity(),
        [Evidence("token_logprobs", (-0.01 * n, -0.2), truncated=n == 3) for n in range(5)],
    ),
}
CLASSES = {
    "positive_probability": "classes: [not_now, interested]",
    "probabilities": "classes: [interested, not_now, unsubscribe]",
    "logits": "classes: [interested, not_now, unsubscribe]",
}
MODES = ("mode: enforce", "mode: observe", "band_on: lower_bound")


def written() -> list[Record]:
    """Every kind of record, decisions of every kind of evidence among them, with what they refer to."""
    kept: list[Record] = []
    for number, (kind, mode) in enumerate(itertools.product(KINDS, MODES)):
        kept += _decisions(number, kind, mode)
    first = next(record for record in kept if isinstance(record, records.Decision))
    suspension = Suspension(
        suspension_id="5" * 32, scope=Scope(model="lead-classifier", band="band"), explanation="complaints",
        suspended_by="ada", suspended_at=builders.NOW, sidecar_id=SIDECAR,
    )  # fmt: skip
    return [
        *kept,
        builders.label(1, decision_id=first.decision_id, true_class="interested", task_id=""),
        builders.label(2, decision_id=first.decision_id, cannot_tell=True, note="no idea"),
        InForce(sidecar_id=SIDECAR, slot="policy", digest="sha256:0", since=builders.NOW),
        suspension,
        Resumption(
            suspension_id="5" * 32, resumed_by="grace", resumed_at=builders.NOW + 1, explanation="", sidecar_id=SIDECAR
        ),
        Governance(
            event_id="e", kind="PROMOTED", subject="c@champion", from_="1", to="2", happened_at=1.0, seen_at=2.0,
            sidecar_id=SIDECAR,
        ),
        ShadowCounts(
            run_id="r", sidecar_id=SIDECAR, day=20_000, model="m", champion="a", challenger="b",
            pairs=(ShadowPair(band="auto", shadow_band="hold", n=3),),
        ),
    ]  # fmt: skip


def _decisions(number: int, kind: str, mode: str) -> list[Record]:
    mapping, given = KINDS[kind]
    held = builders.calibrator_in_force(
        mapping,
        evidence=kind,
        aggregation="mean" if kind == "token_logprobs" else "none",
        answer="given",
        lower=CURVE if "lower" in mode else None,
    )
    rule = builders.calibrator_in_force(Constant(0.95), source="rules", name="rule-stop")
    made = services.bare(
        POLICY.replace("EVIDENCE", kind).replace("MODE", mode).replace("CLASSES", CLASSES.get(kind, "")),
        {("lead-classifier", ""): held},
        identifier=f"{number:08x}{{:024x}}".format,
    )
    made.snapshot.calibrators["lead-classifier", "", "rules/stop"] = rule  # type: ignore[index]
    categories = itertools.cycle(("general", "refunds", "pricing", "ranged", "never heard of"))
    for place, (evidence, category) in enumerate(zip(given, categories)):  # noqa: B905
        made.now = builders.NOW + 1000.0 * number + place + (1e6 if place % 7 == 6 else 0.0)
        made.health = type(made.health)(away=place % 5 == 4)
        made.router.route(
            builders.query(
                evidence=evidence, category=category, predicted_class="" if kind != "score" else "not_now",
                positive_class="interested", request_id=f"r-{number}-{place}" if place % 3 else "",
                intent=Intent.SHADOW if place % 11 == 10 else Intent.LIVE,
                attributes={"keyword": "stop", "amount": 1.5, "vip": True} if place % 2 else {},
                context={"text": "we hereby agree"} if place % 6 == 5 else {},
            )
        )  # fmt: skip
    loaded = made.snapshot.policy.loaded
    return [
        Artifact(digest=loaded.digest, kind="policy", body=loaded.canonical),
        Artifact(digest=held.reference.digest, kind="calibrator", body=calibrators.dumps(held.calibrator)),
        *made.journal.provenances,
        *made.journal.records,
    ]


def write(directory: Path) -> None:
    """A journal with the records, and a ledger that took them in, as a script of SQL."""
    with tempfile.TemporaryDirectory() as scratch:
        with (
            Journal(Path(scratch) / "journal", clock=lambda: builders.NOW) as journal,
            Ledger(f"sqlite:///{scratch}/ledger.db") as ledger,
        ):
            ledger.migrate()
            journal.append(written(), durable=True)
            directory.mkdir(parents=True)
            (directory / "journal.records").write_bytes(
                next((Path(scratch) / "journal").glob("*.journal")).read_bytes()
            )
            forwarder = Forwarder(journal, ledger, sidecar_id=SIDECAR)
            forwarder.start()
            if not forwarder.stop(60.0):
                raise AssertionError(forwarder.status())
        with sqlite3.connect(f"{scratch}/ledger.db") as connection:
            (directory / "ledger.sql").write_text("\n".join(connection.iterdump()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = STORED / f"format_{records.FORMAT}"
    if target.exists():
        sys.exit(f"{target.name} is there already: a format that was released is never written again")
    write(target)
