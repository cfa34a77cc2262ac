"""A trace: whoever wants to hear what the sources say about versions, beside what goes in force."""

import logging
from typing import Protocol

from calibrators.errors import CalibratorRefused
from sidecar.errors import RegistryFailure
from sidecar.service.registry import sources
from sidecar.service.registry.asking import Answer
from sidecar.service.registry.sources import Resolved, Source
from sidecar.service.registry.watch import Watch

_log = logging.getLogger(__name__)


class Trace(Protocol):
    """Told in the refresh thread, outside of any lock. What it raises is logged, and changes nothing."""

    def seen(self, uri: str, resolved: Resolved | None, source: Source) -> None:
        """A source was read: what it called current, or None where its alias names nothing."""
        ...

    def withdrawn(self, known: Resolved, source: Source) -> None:
        """What was in force was found to be revoked."""
        ...

    def refused(self, known: Resolved | None, answer: Answer) -> None:
        """A newcomer was refused, for the first time; `known` is what stays in force."""
        ...


class _Untraced:
    def seen(self, uri: str, resolved: Resolved | None, source: Source) -> None: ...

    def withdrawn(self, known: Resolved, source: Source) -> None: ...

    def refused(self, known: Resolved | None, answer: Answer) -> None: ...


UNTRACED: Trace = _Untraced()
"""Nobody wants to hear it."""


def tell(
    trace: Trace,
    watch: Watch,
    source: Source,
    withdrawn: Resolved | None,
    answer: Answer | None,
    failure: RegistryFailure | CalibratorRefused | None,
) -> None:
    """Tells a trace what came of asking a source. Whatever that raises, it can do nothing to the calibrators.

    Args:
        trace: the trace.
        watch: the slot's, before it takes note of the answer.
        source: what was asked.
        withdrawn: what is about to be withdrawn, since it was revoked.
        answer: what came of it.
        failure: what it failed with, if there is no answer.
    """
    try:
        if withdrawn is not None:
            trace.withdrawn(withdrawn, source)
        if answer is not None:
            trace.seen(watch.expected.uri, answer.resolved, source)
            if answer.refusal is not None and answer is not watch.refused:
                trace.refused(watch.known, answer)
        elif failure is not None and failure.code in sources.NAMES_NOTHING:
            trace.seen(watch.expected.uri, None, source)
    except Exception:
        _log.exception("trace_failed")
