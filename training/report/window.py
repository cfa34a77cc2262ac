"""The window of a report: which decisions it is about, and as of when."""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sidecar.policy import fields
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
        return datetime.fromtimestamp(self.as_of, UTC).date()


def of(*, since: str | None, until: str | None, as_of: str | None, now: float) -> Window:
    """The window that three flags ask for; each is a date, a time, or so long ago, such as `30d`.

    Args:
        since: None: from the first decision on.
        until: None: up to `as_of`.
        as_of: None: now.
        now: seconds since the epoch. Of `since` and `until`, so long ago means before `as_of`.

    Raises:
        RequestRefused: a flag is none of these, or the window is empty or in the future.
    """
    told = now if as_of is None else moment("--as-of", as_of, now)
    if told > now:
        raise errors.RequestRefused(f"--as-of {as_of}: that is yet to come; leave it out to be told of now")
    start = None if since is None else moment("--since", since, told)
    end = None if until is None else moment("--until", until, told)
    found = Window(since=start, until=end, as_of=told)
    if start is not None and start >= found.end:
        raise errors.RequestRefused(
            f"--since {since}: the window would end before it begins; name an earlier time"
        )
    return found


def moment(flag: str, text: str, now: float) -> float:
    """The moment that a flag names, in seconds since the epoch; a date begins at 00:00 UTC.

    Raises:
        RequestRefused: it names none.
    """
    try:
        return now - fields.seconds_of(text)
    except ValueError:
        pass
    try:
        named = datetime.fromisoformat(text)
        return (named if named.tzinfo is not None else named.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise errors.RequestRefused(
            f"{flag} {text}: write a date such as 2027-03-31, a time such as 2027-03-31T12:00Z, or so long ago, such "
            "as 30d or 12h"
        ) from error
