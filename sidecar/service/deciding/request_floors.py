"""The floors that bind one request, beside its category's own: what its text holds, and the brake."""

from sidecar.decision import suspensions
from sidecar.decision.decide import Assessment, Case, band_of
from sidecar.decision.query import Query
from sidecar.decision.records import Decision
from sidecar.policy import detectors
from sidecar.policy.actions import AnswerSource
from sidecar.policy.floors import FloorHit
from sidecar.policy.tables import ModelTable
from sidecar.service.deciding.snapshot import Snapshot


def binding(
    query: Query, case: Case, assessment: Assessment, table: ModelTable, snapshot: Snapshot
) -> tuple[FloorHit, ...]:
    """The floors on the primary model's answer: a hit of every detector, and every suspension that covers it."""
    found = detectors.hits(snapshot.policy.detectors, query.context) if query.context else ()
    if snapshot.suspensions:
        found += suspensions.hits(
            snapshot.suspensions,
            tenant=query.tenant,
            model=query.model,
            model_version=query.model_version,
            band=band_of(assessment, case.category, table),
            category=case.category,
            source=AnswerSource.PRIMARY,
        )
    return found


def suspended_since(decision: Decision, snapshot: Snapshot) -> bool:
    """Whether a recorded answer that may act is covered by the brake now: then its retry is answered anew."""
    return (
        decision.may_act
        and bool(snapshot.suspensions)
        and bool(
            suspensions.hits(
                snapshot.suspensions,
                tenant=decision.tenant,
                model=decision.model,
                model_version=decision.model_version,
                band=decision.band,
                category=decision.category,
                source=decision.source,
            )
        )
    )
