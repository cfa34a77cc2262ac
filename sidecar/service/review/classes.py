"""The names of the positions of a model's vector, as the policy of a decision has them."""

import functools
from collections.abc import Callable

from sidecar import errors
from sidecar.decision.tasks import Task
from sidecar.ledger import artifacts
from sidecar.ledger.store import Ledger

MOST_REMEMBERED = 256


def classes_by_policy(ledger: Ledger) -> Callable[[Task], tuple[str, ...]]:
    """Tells a task's classes from the policy that its decision was made under.

    That policy rather than the one in force: what a reviewer was shown must not change with it.
    """

    @functools.lru_cache(maxsize=MOST_REMEMBERED)
    def classes(digest: str, model: str) -> tuple[str, ...]:
        with ledger.reading() as at:
            loaded = artifacts.policy_of(at, digest)
        if loaded is None:
            # Not remembered: the ledger may not have it yet.
            raise LookupError(digest)
        entry = loaded.policy.models.get(model)
        return () if entry is None else tuple(entry.classes)

    def of_task(task: Task) -> tuple[str, ...]:
        if task.decision.evidence.kind not in ("probabilities", "logits"):
            return ()
        try:
            return classes(task.decision.policy_digest, task.model)
        except (LookupError, errors.PolicyRefused):
            return ()

    return of_task
