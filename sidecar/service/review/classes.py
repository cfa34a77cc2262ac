"""The names of the positions of a model's vector, as the policy of a decision has them."""

import functools
import json
from collections.abc import Callable

from sidecar.decision.records import Artifact
from sidecar.decision.tasks import Task

MOST_REMEMBERED = 256


def classes_by_policy(artifact: Callable[[str], Artifact | None]) -> Callable[[Task], tuple[str, ...]]:
    """Tells a task's classes from the policy that its decision was made under.

    That policy rather than the one in force: what a reviewer was shown must not change with it.

    Args:
        artifact: the text behind a digest, which never changes.
    """

    @functools.lru_cache(maxsize=MOST_REMEMBERED)
    def classes(digest: str, model: str) -> tuple[str, ...]:
        found = artifact(digest)
        if found is None:
            # Not remembered: the ledger may not have it yet.
            raise LookupError(digest)
        content = json.loads(found.body)
        return tuple(content["models"].get(model, {}).get("classes", ()))

    def of_task(task: Task) -> tuple[str, ...]:
        if task.decision.evidence.kind not in ("probabilities", "logits"):
            return ()
        try:
            return classes(task.decision.policy_digest, task.model)
        except LookupError:
            return ()

    return of_task
