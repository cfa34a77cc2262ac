"""`evaluate`: what a calibrator is worth on labels that it has not seen."""

import argparse
import json
import sys
from pathlib import Path

from training.commands import flags, labelled_file


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a calibrator on a labelled file",
        description="Measures raw and calibrated confidence on a labelled file: log-loss, Brier score, "
        "netcal's ECE, MCE and ACE over 15 bins (with a bootstrap interval for the ECE), and the CORP "
        "decomposition. Use labels that the calibrator was not fitted to.",
    )
    parser.add_argument(
        "--calibrator",
        required=True,
        metavar="FILE",
        help="a calibrator document (cal.json), or models:/NAME@champion",
    )
    labelled_file.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="write one JSON object to standard output")
    flags.add_seed(parser, "the bootstrap")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluates and prints."""
    from training import console
    from training.measure import evaluation

    calibrator = flags.calibrator(Path(arguments.calibrator))
    dataset = labelled_file.read(arguments)
    calibrated = dataset.confidence(calibrator)
    raw, after = (
        evaluation.evaluate(
            confidence,
            dataset.correct,
            dataset.weights,
            groups=dataset.groups,
            seed=arguments.seed,
            epsilon=calibrator.epsilon,
        )
        for confidence in (dataset.scores, calibrated)
    )
    notes = list(raw.notes)
    if calibrator.fit is not None and calibrator.fit.data_digest == dataset.digest:
        notes.append("these are the very labels that the calibrator was fitted to: the numbers flatter it")
    if calibrator.applies_to is not None and calibrator.applies_to.evidence != dataset.evidence:
        notes.append(
            f"the calibrator is meant for {calibrator.applies_to.evidence} evidence, "
            f"the file holds {dataset.evidence}"
        )
    if arguments.json:
        document = {
            "n": raw.n,
            "n_eff": raw.n_effective,
            "accuracy": raw.accuracy,
            "raw": raw.measures(),
            "calibrated": after.measures(),
            "calibrator": {"kind": calibrator.kind, "digest": calibrator.digest},
            "notes": notes,
        }
        sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
        return 0
    screen = console.console()
    screen.print(f"{arguments.from_file}: {console.describe(dataset)}", markup=False)
    title = f"{calibrator.kind}, {calibrator.digest[:19]}"
    screen.print(console.evaluations_table(title, [("raw", raw), ("calibrated", after)]))
    for note in notes:
        screen.print(f"Note: {note}.", markup=False)
    return 0
