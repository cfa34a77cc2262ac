"""What a proposal says, for people: what is certified, what each set of cut-offs costs in work, what is missing."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from rich import box
from rich.table import Table

from sidecar.decision import cost_ratios
from sidecar.policy.actions import Action
from sidecar.policy.model import DEFAULT_AUDIT_RATE, Band
from training.cut_offs import exact_tests
from training.cut_offs.material import Material
from training.cut_offs.proposal import Certificate, CutOffs, Proposal
from training.measure.intervals import FloatArray

WAITING = (Action.HOLD_FOR_REVIEW, Action.ESCALATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Of 1,000 decisions that the bands decide.

    Attributes:
        bands: how many each band gets.
        looks: how many a person looks at: those that wait, those that are looked at the next day, and the
            audits that are drawn of the others.
        hours: that takes; None where nobody said how long a look is.
    """

    bands: Mapping[str, float]
    looks: float
    hours: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadRow:
    """A set of cut-offs with its name and load."""

    name: str
    cut_offs: CutOffs
    load: Workload


def workload(
    cut_offs: CutOffs,
    bands: Sequence[Band],
    confidence: FloatArray,
    weights: FloatArray,
    *,
    minutes_per_review: float | None = None,
) -> Workload:
    """The load of cut-offs.

    Args:
        cut_offs: from the highest edge down.
        bands: the policy's, for their actions and audit rates.
        confidence: (m,) of all decisions, not only of labelled ones.
        weights: (m,) how many decisions each stands for.
        minutes_per_review: None: unknown.
    """
    known = {band.name: band for band in bands}
    rising = cut_offs.edges[::-1]
    place = np.searchsorted([float(edge) for _, edge in rising], confidence, side="right") - 1
    counts = np.bincount(place, weights=weights, minlength=len(rising)) * (1000.0 / weights.sum())
    shares = {name: float(counts[position]) for position, (name, _) in enumerate(rising)}
    looks = sum(share * _looks(known[name]) for name, share in shares.items())
    return Workload(
        bands=dict(reversed(shares.items())),
        looks=looks,
        hours=None if minutes_per_review is None else looks * minutes_per_review / 60.0,
    )


def _looks(band: Band) -> float:
    if band.action in WAITING or band.review is not None:
        return 1.0
    return DEFAULT_AUDIT_RATE if band.audit_rate is None else band.audit_rate


def describe(source: str, material: Material) -> Iterator[str]:
    """What there is to decide with, line by line."""
    sample, calibrator = material.sample, material.calibrator
    n, wrong = exact_tests.tally(sample, [Decimal(0)])
    yield (
        f"{source}: {len(sample):,} labels that the calibrator ({calibrator.kind}, {calibrator.digest[:19]}) was not "
        f"fitted to; of equal probability, all together, {n[0]:,}, of which {wrong[0]:,} are wrong."
    )
    for reason, count in sorted(material.left_out.items()):
        yield f"  left out: {count:,} {reason}"
    for note in material.notes:
        yield f"Note: {note}."
    if material.elsewhere:
        yield (
            f"Note: {material.elsewhere:.1%} of the decisions are not these bands' to decide, such as those in "
            "mandatory categories; what follows is about the others."
        )


def certificates_table(proposal: Proposal) -> Table:
    """For each band that was asked for: its cut-off and the labels behind it, or why there is none."""
    table = _table("band", "", right=("correct", "delta", "from", "labels", "wrong"))
    for certificate in proposal.certificates:
        n, wrong = certificate.counts
        certified = certificate.edge is not None
        table.add_row(
            certificate.band,
            f"at least {certificate.target}",
            f"{certificate.delta:.3g}",
            str(certificate.edge) if certified else "-",
            f"{n:,}" if certified else "-",
            f"{wrong:,}" if certified else "-",
            "certified" if certified else missing(certificate),
        )
    return table


def missing(certificate: Certificate) -> str:
    """Why a band has no cut-off, and what it takes."""
    if not certificate.wanted:
        return "at these costs something else is always cheaper"
    short = certificate.shortfall()
    if short is None:
        least = exact_tests.least_labels(float(1 - certificate.target), certificate.delta)
        return f"no label lies where it could begin; at least {least:,} are needed, even if none is wrong"
    seen = (
        f"{short.n - short.wrong:,} of {short.n:,} labels are right from {short.cut_off} on, taken as "
        f"{short.accuracy:.1%}"
    )
    if short.beyond is not None:
        seen += f"; those from {short.beyond} on would do, but the tests go from the strict to the loose and end here"
    if short.further is None:
        return f"never at this accuracy: {seen}"
    return f"about {short.further:,} more labels from {short.cut_off} on are needed ({seen})"


def nothing_yet(reason: str, targets: Mapping[str, Decimal], delta: Decimal) -> Iterator[str]:
    """What to say where there is no label at all."""
    yield f"No automatic band can be certified yet: {reason}."
    for band, target in targets.items():
        least = exact_tests.least_labels(float(1 - target), float(delta) / len(targets))
        yield f"  {band}: at least {least:,} labels are needed, even if none is wrong."


def load_table(rows: Sequence[WorkloadRow], bands: Sequence[Band]) -> Table:
    """Of 1,000 decisions, how many each band gets under each set of cut-offs, and what a person must look at."""
    hours = any(row.load.hours is not None for row in rows)
    names = [band.name for band in bands]
    table = _table("of 1,000 decisions", right=(*names, "looks", *(("hours",) if hours else ())))
    for row in rows:
        edges = dict(row.cut_offs.edges)
        cells = [f"{row.load.bands[name]:.0f} from {edges[name]}" if name in edges else "-" for name in names]
        spent = [] if row.load.hours is None else [f"{row.load.hours:.1f}"]
        table.add_row(row.name, *cells, f"{row.load.looks:.0f}", *spent)
    return table


def ratios(cut_offs: CutOffs, bands: Sequence[Band]) -> Iterator[str]:
    """What each cut-off says about costs, a sentence each."""
    known: Mapping[str, Band] = {band.name: band for band in bands}
    for (upper, edge), (lower, _) in itertools.pairwise(cut_offs.edges):
        said = cost_ratios.implied(known[upper].action, known[lower].action, Fraction(edge))
        yield f"{edge} ({upper} over {lower}): {said}"


def comment(proposal: Proposal, material: Material, delta: Decimal, day: str) -> list[str]:
    """The lines that go above the bands in a policy."""
    lines = []
    for each in proposal.certificates:
        n, wrong = each.counts
        lines.append(
            f"{day}, {each.band}: no cut-off is certified for {each.target}"
            if each.edge is None
            else f"{day}, {each.band} from {each.edge}: at least {each.target} correct ({n} labels, {wrong} wrong)"
        )
    return [
        *lines,
        f"{day}, together with confidence {1 - delta} (delta {delta}), under the calibrator",
        f"{day}, {material.calibrator.digest}; under any other they are void: certify again",
    ]


def _table(first: str, *others: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="", pad_edge=False)
    table.add_column(first)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in others:
        table.add_column(heading)
    return table
