"""The types of flags that several commands have."""

import argparse


def seed(text: str) -> int:
    """A seed: a whole number that is not negative, as numpy's generators take it."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: it is a whole number from 0 on")
    return number


def ago(text: str) -> float:
    """Seconds of a duration as the policy file writes it, such as 12h or 30d."""
    from sidecar.policy import fields

    try:
        return fields.seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
