"""The flags that name a labelled file and its columns, shared by the commands that read one."""

import argparse

from training.data.dataset import Dataset


def add_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Adds `--from-file` and the column flags; `required` says whether there must be a file."""
    group = parser.add_argument_group(
        "labelled data",
        "A CSV or Parquet file with a score and a 0/1 label in each row, or an .npz file with `logits` "
        "(n, k) and `labels` (n,) of true class indices, or `scores` (n,) and `labels` (n,) of 0/1.",
    )
    group.add_argument(
        "--from-file", required=required, metavar="FILE", help="the .csv, .parquet or .npz file"
    )
    group.add_argument(
        "--score-column", default="score", metavar="NAME", help="column of the score (default: score)"
    )
    group.add_argument(
        "--label-column",
        default="correct",
        metavar="NAME",
        help="column of the label (default: correct; in .npz files: labels)",
    )
    group.add_argument(
        "--weight-column", metavar="NAME", help="column of weights: 1 / P(the row was labelled)"
    )
    group.add_argument(
        "--group-column", metavar="NAME", help="column of keys: rows with the same key depend on each other"
    )
    group.add_argument(
        "--time-column", metavar="NAME", help="column of times: ISO 8601, or seconds since 1970 (UTC)"
    )
    group.add_argument(
        "--category-column", metavar="NAME", help="column of business categories; one that is empty has none"
    )
    group.add_argument(
        "--score-is",
        choices=("confidence", "positive"),
        default="confidence",
        help="confidence: in the given answer, the label saying whether it was right (default). positive: "
        "P(positive), the label being the true class 0/1; the answer is positive from 0.5 on",
    )


def read(arguments: argparse.Namespace) -> Dataset:
    """The dataset that the flags name.

    Raises:
        DataRefused: the file cannot be used.
    """
    from training.data import files

    return files.read(
        arguments.from_file,
        score_column=arguments.score_column,
        label_column=arguments.label_column,
        weight_column=arguments.weight_column,
        group_column=arguments.group_column,
        time_column=arguments.time_column,
        category_column=arguments.category_column,
        score_is=arguments.score_is,
    )
