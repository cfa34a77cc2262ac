"""The labels that the loop would have had, and when it would have known them."""

from dataclasses import dataclass, field

import numpy as np

from training.measure.intervals import FloatArray, IntArray
from training.replay.history import History
from training.replay.routing import Routed


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels of m rows.

    Attributes:
        rows: (m,) positions in the history.
        propensity: (m,) with which each was planned.
        known_at: (m,) seconds since the epoch.
    """

    rows: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    propensity: FloatArray = field(default_factory=lambda: np.empty(0))
    known_at: FloatArray = field(default_factory=lambda: np.empty(0))

    def with_those_of(self, routed: Routed, history: History, delay: float) -> "Labels":
        """These, and those that decisions ask for: of every hold, and of what was drawn for audit."""
        held, drawn = routed.held, routed.drawn & ~routed.held
        asked = held | drawn
        rows = routed.rows[asked]
        propensity = np.where(held[asked], 1.0, routed.audit_rate[asked])
        return Labels(
            np.concatenate((self.rows, rows)),
            np.concatenate((self.propensity, propensity)),
            np.concatenate((self.known_at, history.times[rows] + delay)),
        )

    def known(self, by: float) -> "Labels":
        """Those that are known by a moment."""
        kept = self.known_at <= by
        return Labels(self.rows[kept], self.propensity[kept], self.known_at[kept])

    def decided_after(self, moment: float, history: History) -> "Labels":
        """Those whose decision was made after a moment."""
        kept = history.times[self.rows] > moment
        return Labels(self.rows[kept], self.propensity[kept], self.known_at[kept])
