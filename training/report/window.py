"""The window of a report: which decisions it is about, and as of when."""

import math
from dataclasses import dataclass
from datetime import date

from sidecar import times
from sidecar.times import When
from training import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Decisions made at or after `since` and before `until`, as far as they were known at `as_of`.

    Attributes:
        since: in seconds since the epoch; None: from the first one on.
        until: likewise; None: up to `as_of`.
        as_of: what was decided, labelled or done later is not in the report.
    """

    since: float | None
    until: float | None
    as_of: float

    @property
    def end(self) -> float:
        """Before when the decisions were made."""
        latest = math.nextafter(self.as_of, math.inf)
        return latest if self.until is None else min(self.until, latest)

    @property
    def today(self) -> date:
        """The UTC day of which the report tells."""
        return times.day_of(self.as_of)


def of(*, since: When | None, until: When | None, as_of: When | None, now: float) -> Window:
    """The window that three flags ask for.

    Args:
        since: None: from the first decision on.
        until: None: up to `as_of`.
        as_of: None: now.
        now: seconds since the epoch. Of `since` and `until`, so long ago means before `as_of`.

    Raises:
        RequestRefused: the window is empty or in the future.
    """
    told = now if as_of is None else as_of.seen_from(now)
    if as_of is not None and told > now:
        raise errors.RequestRefused(
            f"--as-of {as_of.text}: that is yet to come; leave it out to be told of now"
        )
    start = None if since is None else since.seen_from(told)
    end = None if until is None else until.seen_from(told)
    found = Window(since=start, until=end, as_of=told)
    if since is not None and start is not None and start >= found.end:
        raise errors.RequestRefused(
            f"--since {since.text}: the window would end before it begins; name an earlier time"
        )
    return found
