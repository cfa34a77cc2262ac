"""The window of a report: which decisions it is about, as of when, and what the ledger says of them."""

import math
from dataclasses import dataclass
from datetime import date

from sidecar import dialect, times
from sidecar.decision import suspensions as suspension_set
from sidecar.decision.records import Governance, InForce
from sidecar.decision.suspensions import Resumption, Suspension, Suspensions
from sidecar.decision.tasks import TaskState
from sidecar.ledger import artifacts, queries, review_facts
from sidecar.ledger import facts as ledger_facts
from sidecar.ledger import governance as ledger_governance
from sidecar.ledger import labelled as ledger_labelled
from sidecar.ledger.facts import AnswerCount, Stratum
from sidecar.ledger.labelled import Labelled
from sidecar.ledger.review_facts import EndingCount, Judgements, PlannedReview, QueueCount, Unlabelled
from sidecar.ledger.store import Ledger
from sidecar.policy import floors_file
from sidecar.policy import model as policy_model
from sidecar.policy.actions import TaskKind
from sidecar.policy.floors_file import LoadedFloors
from sidecar.policy.loading import LoadedPolicy
from sidecar.policy.tables import ModelTable
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFacts:
    """What the ledger says about one model in a window.

    Attributes:
        model: its name.
        entry: what the policy says about it.
        table: the same with the floors, compiled.
        window: which decisions.
        strata: exact counts per day and stratum.
        answers: exact counts of answers that are alike, categories apart.
        repeated: how many answers repeat a decision.
        labelled: every answer of which it is known whether it was correct, oldest first.
        reviews: those that were planned.
        unlabelled: what is known of the audited, or otherwise reviewed, decisions that have no label, by
            decision.
        queue: what waits for people.
        endings: how held decisions ended.
        judgements: what reviewers said.
        in_force: the calibrators.
        suspensions: those in force at the end, that concern the model.
        governance: who changed what decides, in the window.
    """

    model: str
    entry: policy_model.Model
    table: ModelTable
    window: Window
    strata: tuple[Stratum, ...]
    answers: tuple[AnswerCount, ...]
    repeated: int
    labelled: tuple[Labelled, ...]
    reviews: tuple[PlannedReview, ...]
    unlabelled: dict[str, Unlabelled]
    queue: tuple[QueueCount, ...]
    endings: tuple[EndingCount, ...]
    judgements: Judgements
    in_force: tuple[InForce, ...]
    suspensions: tuple[Suspension, ...]
    governance: tuple[Governance, ...]


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


def policy_at(ledger: Ledger, model: str, as_of: float) -> LoadedPolicy:
    """The policy that the newest decision was made under; an empty model: any model's.

    Raises:
        NotEnoughLabels: there was no decision then.
        RequestRefused: the ledger does not have that policy yet.
    """
    newest = ledger.read(
        queries.decisions, model=model, decided_to=math.nextafter(as_of, math.inf), page_size=1
    ).items
    if not newest:
        about = f"of model {model!r} " if model else ""
        raise errors.NotEnoughLabels(
            f"the ledger has no decision {about}to report on: route some first, or name the policy with --policy"
        )
    digest = newest[0].answers[-1].provenance.policy_digest
    loaded = ledger.read(artifacts.policy_of, digest)
    if loaded is None:
        raise errors.RequestRefused(
            f"the ledger does not have the policy {digest} yet: name the file with --policy"
        )
    return loaded


def floors_at(ledger: Ledger, as_of: float) -> LoadedFloors | None:
    """The floors that the newest decision was made under; None where there were none."""
    newest = ledger.read(queries.decisions, decided_to=math.nextafter(as_of, math.inf), page_size=1).items
    digest = newest[0].answers[-1].provenance.floors_digest if newest else ""
    if not digest:
        return None
    return ledger.read(artifacts.floors_of, digest)


def gather(
    ledger: Ledger, loaded: LoadedPolicy, floors: LoadedFloors | None, model: str, window: Window
) -> WindowFacts:
    """Everything about one model; the ledger is read only."""
    entry = loaded.policy.models[model]
    since, until, as_of = window.since, window.end, window.as_of
    label_window = loaded.policy.label_window
    labelled = ledger.read(
        ledger_labelled.labelled,
        model,
        since=since,
        until=until,
        criterion=entry.criterion,
        label_window_seconds=label_window,
        as_of=as_of,
    )
    reviews = ledger.read(review_facts.reviews, model, since, until, as_of=as_of)
    known = {each.decision.decision_id for each in labelled}
    silent = list(
        dict.fromkeys(
            each.decision_id
            for each in reviews
            if each.decision_id not in known
            and (each.kind is TaskKind.AUDIT or each.state is TaskState.COMPLETED)
        )
    )
    registered = dialect.registered(entry.calibrator)
    return WindowFacts(
        model=model,
        entry=entry,
        table=floors_file.merge(loaded.policy, None if floors is None else floors.floors)[model],
        window=window,
        strata=tuple(ledger.read(ledger_facts.strata, model, since, until)),
        answers=tuple(ledger.read(ledger_facts.answers, model, since, until)),
        repeated=ledger.read(ledger_facts.repeated, model, since, until),
        labelled=tuple(labelled),
        reviews=tuple(reviews),
        unlabelled=ledger.read(
            review_facts.unlabelled,
            model,
            silent,
            criterion=entry.criterion,
            label_window_seconds=label_window,
            as_of=as_of,
        ),
        queue=tuple(ledger.read(review_facts.queue, model, as_of=as_of)),
        endings=tuple(ledger.read(review_facts.endings, model, since, until, as_of=as_of)),
        judgements=ledger.read(review_facts.judgements, model, since, until, as_of=as_of),
        in_force=tuple(ledger.read(ledger_facts.in_force, model, since, until)),
        suspensions=_suspended(ledger, model, as_of),
        governance=tuple(
            event
            for event in ledger.read(ledger_governance.changes, since)
            if event.happened_at < until
            and _concerns(event.subject, "" if registered is None else registered.name)
        ),
    )


def _suspended(ledger: Ledger, model: str, as_of: float) -> tuple[Suspension, ...]:
    """What was suspended at a moment, as far as it concerns a model."""
    happened = [
        event
        for event in ledger.read(ledger_governance.history)
        if (isinstance(event, Suspension) and event.suspended_at <= as_of)
        or (isinstance(event, Resumption) and event.resumed_at <= as_of)
    ]
    events = [event for event in happened if isinstance(event, Suspension | Resumption)]
    known = suspension_set.merge(Suspensions(), events)
    return tuple(each for each in known.active() if each.scope.model in ("", model))


def _concerns(subject: str, registered: str) -> bool:
    return subject in ("policy", "floors") or subject.partition("@")[0] == registered
