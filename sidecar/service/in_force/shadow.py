"""The shadow: where the challenger would have put what the champion decided. It decides nothing itself."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping

from sidecar import errors, times
from sidecar.decision import identifiers, recompute
from sidecar.decision.records import Decision, ShadowCounts, ShadowPair
from sidecar.policy.actions import AnswerSource, Intent
from sidecar.service.deciding.snapshot import Snapshot, slot_of
from sidecar.service.recorder import Recorder
from sidecar.service.registry import CalibratorInForce, CalibratorSlot
from sidecar.service.telemetry import Metrics

logger = logging.getLogger(__name__)


_Key = tuple[int, str, str, str]
"""Day, model, digest of the champion, digest of the challenger."""


class Shadow:
    """Counts, by pair of bands, where champion and challenger put the same answers. For one thread."""

    def __init__(
        self,
        *,
        challengers: Callable[[], Mapping[CalibratorSlot, CalibratorInForce]],
        journal: Recorder,
        metrics: Metrics,
        sidecar_id: str,
        clock: Callable[[], float],
        new_id: Callable[[float], str] = identifiers.uuid7,
    ) -> None:
        """Starts from nothing.

        Args:
            challengers: what the challengers are now, by the slot of the champion.
            journal: where the counts go.
            metrics: of the process.
            sidecar_id: who counts.
            clock: seconds since the epoch.
            new_id: makes the id of this run.
        """
        self._challengers = challengers
        self._journal = journal
        self._metrics = metrics
        self._sidecar_id = sidecar_id
        self._run_id = new_id(clock())
        self._clock = clock
        self._counts: dict[_Key, Counter[tuple[str, str]]] = {}
        self._changed: set[_Key] = set()

    def take(self, decision: Decision, snapshot: Snapshot) -> None:
        """Evaluates the challenger, if there is another than the champion, on an answered decision."""
        if decision.provenance.calibrator is None or decision.query.intent is not Intent.LIVE:
            return
        table = snapshot.policy.tables[decision.query.model]
        challenger = self._challengers().get(slot_of(table, decision.query.model_version))
        if challenger is None or challenger.reference.digest == decision.provenance.calibrator.digest:
            return
        band = decision.verdict.band
        if decision.verdict.source is not AnswerSource.PRIMARY:  # the band of the step that decided
            champion = snapshot.calibrator(table, decision.query.model_version)
            band = recompute.primary_band(decision, table, None if champion is None else champion.calibrator)
        shadow_band = recompute.primary_band(decision, table, challenger.calibrator)
        day = int(decision.decided_at // times.DAY_SECONDS)
        key = (day, decision.query.model, decision.provenance.calibrator.digest, challenger.reference.digest)
        self._counts.setdefault(key, Counter())[band, shadow_band] += 1
        self._changed.add(key)
        self._metrics.shadowed(decision.query.model, band, shadow_band)

    def flush(self) -> None:
        """Journals the totals that have grown; those of days before yesterday are then forgotten."""
        if not self._changed:
            return
        records = [self._record(key) for key in sorted(self._changed)]
        try:
            self._journal.append(records, durable=False)
        except errors.JournalUnavailable as error:
            logger.warning("shadow_counts_not_kept", extra={"fields": {"cause": str(error)}})
            return
        self._changed.clear()
        today = int(self._clock() // times.DAY_SECONDS)
        for key in [key for key in self._counts if key[0] < today - 1]:
            del self._counts[key]

    def _record(self, key: _Key) -> ShadowCounts:
        day, model, champion, challenger = key
        return ShadowCounts(
            run_id=self._run_id,
            sidecar_id=self._sidecar_id,
            day=day,
            model=model,
            champion=champion,
            challenger=challenger,
            pairs=tuple(
                ShadowPair(band=band, shadow_band=shadow_band, n=n)
                for (band, shadow_band), n in sorted(self._counts[key].items())
            ),
        )
