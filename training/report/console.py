"""The report for people at a terminal: tables, and sentences where a table would hide something."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sidecar.shell import printable
from training.measure.verdict import Finding
from training.report import wording
from training.report.content import Calibration, Mandatory, ModelReport, Report, VersionReport
from training.report.rows import Row, Tables

STYLES = {
    Finding.SHOWN: "green",
    Finding.BROKEN: "bold red",
    Finding.NOT_SHOWN: "yellow",
    Finding.TOO_FEW: "yellow",
}
HEADINGS = (
    "decisions",
    "drawn",
    "answered",
    "labels",
    "correct",
    "95% interval",
    "promise",
    "confidence",
    "verdict",
)


def show(report: Report, screen: Console) -> None:
    """Prints the report."""
    window = report.window
    screen.print(
        f"Decisions {wording.window(window)}, as known at {wording.moment(window.as_of)}.\n"
        f"Policy {report.policy_digest}.",
        markup=False,
    )
    for model in report.models:
        screen.print()
        screen.print(_model(model))


def _model(model: ModelReport) -> RenderableType:
    parts: list[RenderableType] = [Text(f"Model {model.model}", style="bold")]
    if model.mode == "observe":
        parts.append(Text("The policy observes: nothing acts; what follows is about what would have acted."))
    if not model.versions:
        parts.append(Text("No decision in the window."))
    for version in model.versions:
        parts += _version(version, wording.acted(model.mode))
    parts += [Text(printable(line)) for line in _facts(model)]
    return Group(*parts)


def _version(version: VersionReport, acted: str) -> Iterator[RenderableType]:
    found = version.tables
    yield Text(f"\nVersion {wording.version(version.version)}", style="bold")
    yield Text(wording.summary(found))
    rows = [*found.bands, *found.categories, *found.cells]
    yield _rows_table(found, rows, acted)
    for row in rows:
        text = wording.reason(row)
        if text:
            yield Text(f"  {wording.name(row)}: {text}")
        if row.without:
            yield Text(
                f"  {wording.name(row)}: without {', '.join(row.without)}, which have rows of their own."
            )
        if row.no_answers and row.kind == "band":
            yield Text(
                f"  {wording.name(row)}: no answer from {sum(row.no_answers.values())} planned reviews "
                f"({wording.no_answers(row.no_answers)}); correct if all were wrong, or all right: "
                f"{wording.interval(row.worst)}"
            )
    if found.unshown:
        yield Text(f"  {found.unshown} further categories have no row.")
    everything = found.answers
    yield Text(
        f"  all answers, whether they {acted} or not: {wording.share(everything.estimate.value)} correct "
        f"({wording.shown(everything.estimate)}); the plain mean of all {everything.naive_labels:,} labels would say "
        f"{wording.share(everything.naive)}"
    )
    if found.rest:
        yield _rest_table(found.rest, acted)
    yield Text("\n".join(_mandatory(version.mandatory, acted)))
    yield Text("\n".join(_calibration("all decisions", version.calibration)))
    yield Text("\n".join(_calibration(f"what {acted}", version.acting)))
    deciders = ", ".join(
        f"{wording.count(n)} {wording.decider(who, acted)}" for who, n in sorted(version.deciders.items())
    )
    yield Text(f"Who decided: {deciders}.")
    for why, n in sorted(version.left_out.items()):
        yield Text(f"Labels that enter no estimate: {n:,} {why}.")


def _rows_table(found: Tables, rows: Sequence[Row], acted: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(f"what {acted}", overflow="fold", min_width=16)
    for heading in HEADINGS:
        last = heading == "verdict"
        table.add_column(
            heading, justify="left" if last else "right", no_wrap=not last, min_width=10 if last else None
        )
    for row in [*rows, found.acted]:
        style = "" if row.verdict is None else STYLES[row.verdict.finding]
        table.add_row(
            Text(wording.name(row, acted)),
            wording.count(row.decisions),
            wording.count(row.drawn),
            wording.share(row.maturity.share),
            wording.effective(row.estimate),
            wording.share(row.estimate.value),
            wording.interval(row.interval),
            wording.promise(row.verdict),
            wording.share(row.mean_confidence),
            Text(wording.finding(row.verdict), style=style),
        )
    return table


def _rest_table(rows: Sequence[Row], acted: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("what did not act" if acted == "acted" else "what would not have acted", overflow="fold")
    for heading in ("decisions", "labels (worth)", "would have been correct", "95% interval", "confidence"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            Text(f"{wording.band(row.band)}, {row.action}"),
            wording.count(row.decisions),
            wording.effective(row.estimate),
            wording.share(row.estimate.value),
            wording.shown(row.estimate),
            wording.share(row.mean_confidence),
        )
    return table


def _mandatory(given: Mandatory, acted: str) -> Iterator[str]:
    yield (
        f"Mandatory review: {given.decisions:,} decisions, {given.acted:,} of them acted without a person"
        f"{' (must be 0)' if given.acted else ''}."
    )
    if given.acted_in_category > given.acted:
        yield (
            f"  {given.acted_in_category:,} decisions {acted} in categories that are mandatory now: under a policy or "
            "floors that were milder then."
        )
    if not given.leak_named.labels:
        yield f"  Leak rate: not known, since no audited label of what {acted} names the true category."
        return
    yield (
        f"  Leak rate: {wording.share(given.leak.value)} ({wording.shown(given.leak)}) of what {acted} was of a "
        f"mandatory category in truth; {given.leaks} of {given.leak.labels:,} audited labels say so, and "
        f"{given.leak_named.labels:,} name a category at all (of those {wording.share(given.leak_named.value)}, "
        f"{wording.shown(given.leak_named)})."
    )


def _calibration(about: str, given: Calibration) -> Iterator[str]:
    measured = given.evaluation
    if measured is None:
        yield f"Calibration of {about}: no label tells."
        return
    yield (
        f"Calibration of {about}: ECE {measured.ece:.2%} ({wording.interval(measured.ece_interval)}; 15 bins of equal "
        f"width, {measured.n:,} labels), CORP miscalibration {measured.mcb:.5f}, discrimination {measured.dsc:.5f}, "
        f"uncertainty {measured.unc:.5f}"
        + ("." if given.covered >= 1.0 else f"; {wording.share(given.covered)} of the decisions are covered.")
    )


def _facts(model: ModelReport) -> Iterator[str]:
    yield ""
    for task in model.queue:
        yield (
            f"Queue: {task.waiting:,} of kind {wording.TASKS[task.kind]}, {task.overdue:,} overdue, median age "
            f"{wording.age(task.median_age_seconds)}, oldest {wording.age(task.oldest_age_seconds)}."
        )
    if model.endings:
        ended = ", ".join(f"{each.n:,} {wording.ending(each)}" for each in model.endings)
        yield f"Held decisions: {ended}."
    said = model.judgements
    if said.blind and said.seen:
        yield (
            f"Reviewers disagreed with {said.blind_disagree} of {said.blind} answers that they could not see, and with "
            f"{said.seen_disagree} of {said.seen} that they could."
        )
    if said.doubled:
        yield f"Two reviewers agreed on {said.agreed} of {said.doubled} tasks."
    for suspension in model.suspensions:
        yield (
            f"SUSPENDED since {wording.moment(suspension.suspended_at)} by {suspension.suspended_by}: "
            f"{wording.scope(suspension.scope)} ({suspension.explanation})"
        )
    for force in model.in_force:
        what = f"{force.name} version {force.version}".strip() if force.digest else "nothing"
        yield f"From {wording.moment(force.since)} on, {force.slot} was {what}, on {force.sidecar_id}."
    if model.shadow:
        yield f"{model.shadow:,} shadow requests are in no number above."
    if model.repeated:
        yield f"{model.repeated:,} answers repeat a decision, and count as answers of their own."
