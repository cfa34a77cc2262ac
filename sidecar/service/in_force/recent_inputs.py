"""The last inputs of every calibrator, and whether a newcomer would route them too differently."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from threading import Event, Lock

from calibrators import Calibrator
from calibrators.errors import CalibratorRefused
from calibrators.evidence import Aggregation
from sidecar import dialect
from sidecar.decision.recompute import Shift, shift
from sidecar.decision.records import Decision
from sidecar.errors import TruebandError
from sidecar.ledger import queries
from sidecar.ledger.store import Ledger
from sidecar.policy.actions import Intent
from sidecar.policy.tables import ModelTable
from sidecar.policy.upkeep import Admission
from sidecar.service.deciding import footprint
from sidecar.service.deciding.snapshot import PRIMARY, Snapshot, slot_of
from sidecar.service.registry import CalibratorInForce, CalibratorSlot, Resolved
from sidecar.service.registry.fetch import SHIFTS_ROUTING

logger = logging.getLogger(__name__)

FEWEST = 30
"""With fewer inputs than these (or than `admission.recent`) a share says nothing."""

MOST_BYTES = 8 << 20
"""Of one slot."""

PAGE_SIZE = 25

PATIENCE_SECONDS = 5.0
"""How long a newcomer waits for the ledger to say what the last inputs were, after a start."""


class RecentInputs:
    """The last live inputs by calibrator slot, without their texts; and the judge of newcomers.

    One thread adds; any may judge.
    """

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        """Takes what tells the policy and the suspensions in force."""
        self._snapshot = snapshot
        self._inputs: dict[tuple[CalibratorSlot, Aggregation], _Inputs] = {}
        self._lock = Lock()
        self._warm = Event()

    def take(self, decision: Decision, snapshot: Snapshot) -> None:
        """Keeps an answered decision; the oldest one goes where there are enough."""
        if decision.query.intent is Intent.LIVE:
            table = snapshot.policy.tables[decision.query.model]
            kept = footprint.calibratable(decision, table.aggregation, table.evidence)
            with self._lock:
                self._inputs_of(kept, snapshot).append(kept)

    def warm(self, ledger: Ledger) -> None:
        """Takes what the ledger has of the last inputs. Never fatal: without it, the first newcomers come in."""
        try:
            snapshot = self._snapshot()
            for model in snapshot.policy.loaded.policy.models:
                found = _latest(ledger, snapshot.policy.tables[model], _admission(snapshot, model).recent)
                for decision in reversed(found):
                    self.take(decision, snapshot)
        except TruebandError as error:
            logger.warning("recent_inputs_unread", extra={"fields": {"cause": str(error)}})
        except Exception:
            logger.exception("recent_inputs_unread")
        finally:
            self._warm.set()

    def judge(
        self, slot: CalibratorSlot, held: CalibratorInForce, newcomer: Calibrator, resolved: Resolved
    ) -> CalibratorRefused | None:
        """The refusal of a newcomer that would change the share of automatic actions by too much, or None.

        Only what calibrates a primary model's answers is judged: of a fallback step, no evidence is stored.

        Args:
            slot: where it would be in force.
            held: what is.
            newcomer: admitted otherwise.
            resolved: what its source says about it.
        """
        snapshot = self._snapshot()
        table = snapshot.policy.tables.get(slot.model)
        if newcomer.digest == held.reference.digest or slot.source != PRIMARY or table is None:
            return None
        self._warm.wait(PATIENCE_SECONDS)
        with self._lock:
            inputs = tuple(self._inputs.get((slot, table.aggregation), ()))
        admission = _admission(snapshot, slot.model)
        fields: dict[str, object] = {"slot": slot.name, "digest": newcomer.digest, "inputs": len(inputs)}
        if len(inputs) < max(1, min(FEWEST, admission.recent)):
            logger.warning("calibrator_unjudged", extra={"fields": fields})
            return None
        found = shift(inputs, table, before=held.calibrator, after=newcomer, suspended=snapshot.suspensions)
        fields |= {"auto_before": found.before, "auto_after": found.after, "approved": resolved.approved}
        logger.info("calibrator_judged", extra={"fields": fields})
        if (
            dialect.goes_live(found.size, admission.max_auto_shift)
            or resolved.approved
            or not resolved.version
        ):
            return None
        return CalibratorRefused(_told(found, resolved, admission), code=SHIFTS_ROUTING)

    def _inputs_of(self, decision: Decision, snapshot: Snapshot) -> "_Inputs":
        table = snapshot.policy.tables[decision.query.model]
        # Log-probabilities are kept as what they come to, which another aggregation would read otherwise.
        key = (slot_of(table, decision.query.model_version), table.aggregation)
        inputs = self._inputs.setdefault(key, _Inputs())
        inputs.most = _admission(snapshot, decision.query.model).recent
        return inputs


class _Inputs:
    """The last inputs of a slot, bounded by number and by bytes."""

    def __init__(self) -> None:
        self.most = 0
        self._kept: deque[Decision] = deque()
        self._bytes = 0

    def append(self, decision: Decision) -> None:
        self._kept.append(decision)
        self._bytes += footprint.weight(decision)
        while len(self._kept) > self.most or self._bytes > MOST_BYTES:
            self._bytes -= footprint.weight(self._kept.popleft())

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._kept)


def _admission(snapshot: Snapshot, model: str) -> Admission:
    return snapshot.policy.loaded.policy.models[model].admission


def _latest(ledger: Ledger, table: ModelTable, most: int) -> Sequence[Decision]:
    """The last answers of a model, newest first; only a page of them is in memory with all that they came with."""
    found: list[Decision] = []
    token = ""
    while len(found) < most:
        page = ledger.read(
            queries.decisions, model=table.name, page_size=min(most - len(found), PAGE_SIZE), page_token=token
        )
        found += [
            footprint.calibratable(each.answers[-1], table.aggregation, table.evidence) for each in page.items
        ]
        token = page.next_page_token
        if not token:
            break
    return found[:most]


def _told(found: Shift, resolved: Resolved, admission: Admission) -> str:
    return (
        f"{resolved.name} version {resolved.version} would change the share of automatic answers from "
        f"{found.before:.1%} to {found.after:.1%} of the last {found.n:,} inputs, by more than "
        f"admission.max_auto_shift ({admission.max_auto_shift:.0%}): look why, and let it in with `python -m "
        f"training promote {resolved.version} --name {resolved.name} --approve --reason TEXT`"
    )
