"""The values that tests are about, made with only what matters to a test; keywords change any field.

No test builds a Decision, a Label, a Query, a Stream or a calibrator in force by hand, so that what they are
made of can change in one place.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from calibrators import AppliesTo, Calibrator, Evidence, Identity, Map
from sidecar.decision import records
from sidecar.decision.provenance import Provenance
from sidecar.decision.query import Query
from sidecar.decision.records import Decision, Label, PlannedTask
from sidecar.decision.steps import CalibratorReference
from sidecar.decision.tasks import task_id
from sidecar.decision.verdict import BY_BAND, Verdict
from sidecar.policy.actions import AUTOMATIC_ACTIONS, Action, TaskKind
from sidecar.service.registry import CalibratorInForce

if TYPE_CHECKING:
    from training.watch.streams import Stream

MakeDecision = Callable[..., Decision]
MakeLabel = Callable[..., Label]

NOW = 1_770_000_000.0  # 2026-02-02 02:40 UTC, a Monday
PROVENANCE = frozenset(
    {"policy_digest", "floors_digest", "calibrator", "sidecar_id", "engine_version", "audit_key_id"}
)
SAID_BY_LABEL = frozenset({"correct", "true_class", "cannot_tell"})


def decision(
    number: int = 1, *, at: float | None = None, score: float | None = None, **changes: Any
) -> Decision:
    """The answer with a number, by default one that acted in band `auto` a second after the one before.

    Args:
        number: gives the ids and, without `at`, the time.
        at: when it was asked and decided; it expires an hour later.
        score: evidence, raw and calibrated confidence at once.
        changes: any field; `may_act` follows from `action` where it is not given, and the `final_class` of
            the primary model is its `predicted_class`.
    """
    moment = NOW + number if at is None else at
    fields: dict[str, Any] = {
        "decision_id": f"decision-{number:06d}",
        "answer_id": f"answer-{number:06d}",
        "model": "lead-classifier",
        "model_version": "v7",
        "category": "general",
        "predicted_class": "interested",
        "occurred_at": moment,
        "evidence": Evidence("score", (0.93 if score is None else score,)),
        "action": Action.AUTO_ROUTE,
        "band": "auto",
        "raw_confidence": 0.93 if score is None else score,
        "calibrated_confidence": 0.1 + 0.2 if score is None else score,
        "reasons": BY_BAND,
        "decided_at": moment,
        "expires_at": moment + 3600.0,
        "policy_digest": "p" * 64,
        "sidecar_id": "sidecar-a",
        "engine_version": "0.1.0",
        "audit_rate": 0.05,
        "audit_key_id": "k1",
    }
    fields |= changes
    fields.setdefault("may_act", fields["action"] in AUTOMATIC_ACTIONS)
    if "source" not in fields and "final_class" in fields:
        fields["predicted_class"] = fields.pop("final_class")
    return Decision(
        query=Query(**_own(Query, fields)),
        verdict=Verdict(**_own(Verdict, fields)),
        provenance=Provenance(**{name: fields[name] for name in PROVENANCE & fields.keys()}),
        own_answer_id=fields["answer_id"],
        expires_after=fields["expires_at"] - fields["decided_at"],
        **_own(Decision, fields),
    )


def altered(known: Decision, **changes: Any) -> Decision:
    """That decision with other fields; nothing follows from them."""
    kept: dict[str, Any] = {}
    if provenance := {name: changes[name] for name in PROVENANCE & changes.keys()}:
        before = {name: getattr(known.provenance, name) for name in PROVENANCE}
        kept["provenance"] = Provenance(**before | provenance)
    if "answer_id" in changes:
        kept["own_answer_id"] = changes["answer_id"]
    return msgspec.structs.replace(
        known,
        query=msgspec.structs.replace(known.query, **_own(Query, changes)),
        verdict=msgspec.structs.replace(known.verdict, **_own(Verdict, changes)),
        **kept,
        **_own(Decision, changes),
    )


def read_back(known: Decision) -> Decision:
    """That decision as the ledger hands it out: encoded, decoded, and tied to its provenance again."""
    return records.decoder(Decision, lambda _: known.provenance).decode(records.encode(known))


def _own(kind: type[msgspec.Struct], fields: dict[str, Any]) -> dict[str, Any]:
    """Those of the fields that a struct has; `tasks` are a decision's, which plans them."""
    return {
        name: fields[name]
        for name in kind.__struct_fields__
        if name in fields and not (kind is Verdict and name == "tasks")
    }


def planned(*kinds: TaskKind, due_at: float = NOW + 1e6, **changes: Any) -> tuple[PlannedTask, ...]:
    """The tasks that a decision opens, one of each kind."""
    return tuple(PlannedTask(kind=kind, due_at=due_at, **changes) for kind in kinds)


def label(number: int = 1, **changes: Any) -> Label:
    """The label with a number about the decision with the same number: correct, unless `changes` says another."""
    fields: dict[str, Any] = {
        "decision_id": f"decision-{number:06d}",
        "source": "crm",
        "event_id": f"event-{number:06d}",
        "observed_at": NOW + 100 + number,
        "recorded_at": NOW + 200 + number,
        "sidecar_id": "sidecar-a",
    }
    fields |= changes
    if not SAID_BY_LABEL & set(fields):
        fields["correct"] = True
    return Label(**fields)


def label_about(about: Decision, correct: bool | None, kind: TaskKind | None, /, **changes: Any) -> Label:
    """What is said about a decision a minute later, through its task of that kind; with None, unasked.

    `correct` None: they cannot tell.
    """
    channel = {None: "VOLUNTEERED", TaskKind.AUDIT: "AUDIT_TASK"}.get(kind, "REVIEW_TASK")
    fields: dict[str, Any] = {
        "decision_id": about.decision_id,
        "source": "desk",
        "event_id": f"e-{about.decision_id}-{kind}",
        "correct": correct,
        "cannot_tell": correct is None,
        "task_id": "" if kind is None else task_id(about.decision_id, kind),
        "channel": channel,
        "observed_at": about.decided_at + 60.0,
        "recorded_at": about.decided_at + 60.0,
        "sidecar_id": about.provenance.sidecar_id,
    }
    return Label(**fields | changes)


def query(score: float = 0.95, **changes: Any) -> Query:
    """A question with a score; one with a `request_id` has a fingerprint that follows from the rest."""
    fields: dict[str, Any] = {
        "model": "lead-classifier",
        "evidence": Evidence("score", (score,)),
        "category": "general",
        "predicted_class": "interested",
    }
    fields |= changes
    if fields.get("request_id") and "fingerprint" not in fields:
        fields["fingerprint"] = repr(sorted(fields.items(), key=lambda item: item[0])).encode()
    return Query(**fields)


def calibrator(
    mapping: Map | None = None,
    *,
    model: str = "lead-classifier",
    evidence: str = "score",
    aggregation: str = "none",
    versions: tuple[str, ...] | None = None,
    answer: str = "given",
    criterion: str = "correct",
    source: str = "primary",
    epsilon: float = 1e-6,
    **carried: Any,
) -> Calibrator:
    """A calibrator, by default the identity on scores of the model `lead-classifier`."""
    applies_to = AppliesTo(
        model=model,
        model_versions=versions,
        source=source,  # type: ignore[arg-type]
        evidence=evidence,  # type: ignore[arg-type]
        aggregation=aggregation,  # type: ignore[arg-type]
        answer=answer,  # type: ignore[arg-type]
        criterion=criterion,
    )
    return Calibrator(mapping or Identity(), epsilon=epsilon, applies_to=applies_to, **carried)


def reference(
    known: Calibrator, name: str = "lead-classifier-calibrator", version: str = "3"
) -> CalibratorReference:
    """What a record says of a calibrator."""
    return CalibratorReference(name=name, version=version, kind=known.kind, digest=known.digest)


def calibrator_in_force(
    mapping: Map | None = None,
    *,
    name: str = "lead-classifier-calibrator",
    confirmed_at: float = NOW,
    **changes: Any,
) -> CalibratorInForce:
    """A calibrator (see `calibrator`) as the registry holds it, in force since it was confirmed."""
    known = calibrator(mapping, **changes)
    return CalibratorInForce(
        calibrator=known,
        reference=reference(known, name),
        uri=f"models:/{name}@champion",
        in_force_since=confirmed_at,
        confirmed_at=confirmed_at,
        from_cache=False,
    )


def stream(**changes: Any) -> "Stream":
    """A stream of audit labels: of band `auto` of the model `leads`, which promises 0.95."""
    # Here, so that whoever makes records for a small process need not load a detector.
    from training.watch.streams import Stream

    fields: dict[str, Any] = {
        "model": "leads",
        "model_version": "v1",
        "source": "PRIMARY",
        "band": "auto",
        "action": "AUTO_ROUTE",
        "audit_rate": 0.05,
        "category": "",
        "calibrator": "sha256:c",
        "primary_calibrator": "sha256:c",
        "promise": 0.95,
    }
    return Stream(**fields | changes)
