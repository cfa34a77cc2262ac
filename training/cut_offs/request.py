"""What a person asks for on the command line, checked."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from sidecar.policy import fields
from training import errors
from training.cut_offs import grid


def targets(given: Sequence[str]) -> dict[str, Decimal]:
    """The accuracy asked of each band, from texts such as `auto=0.90`.

    Raises:
        RequestRefused: a text is none, names a band twice, or asks for what is no accuracy.
    """
    found: dict[str, Decimal] = {}
    for text in given:
        name, separator, share = (part.strip() for part in text.partition("="))
        if not separator or not name or name in found:
            raise errors.RequestRefused(
                f"--target {text}: write BAND=SHARE, such as auto=0.90, once for each band"
            )
        value = _number(share)
        if value is None or not 0 < value < 1:
            raise errors.RequestRefused(
                f"--target {name}={share}: the share must be above 0 and below 1, with at most four digits"
            )
        found[name] = grid.plain(value)
    return found


def delta(text: str) -> Decimal:
    """The probability of an error.

    Raises:
        RequestRefused: it is no number above 0 and at most 0.5, which is what a promise's confidence can say.
    """
    value = _number(text)
    if value is None or not 0 < value <= Decimal("0.5"):
        raise errors.RequestRefused(
            f"--delta {text}: it must be above 0 and at most 0.5, with at most four digits"
        )
    return grid.plain(value)


def seconds(text: str) -> float:
    """The seconds of a duration as a policy writes it.

    Raises:
        RequestRefused: it is none.
    """
    try:
        return fields.seconds_of(text)
    except ValueError as error:
        raise errors.RequestRefused(f"--since {text}: {error}") from error


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    usable = value.is_finite() and abs(value) < 2 and value == value.quantize(grid.DIGITS)
    return value if usable else None
