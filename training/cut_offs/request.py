"""What a person asks for on the command line, checked."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import pydantic

from sidecar.policy.model import Costs
from training import errors
from training.cut_offs import exact_tests


def targets(given: Sequence[str]) -> dict[str, Decimal]:
    """The accuracy asked of each band, from texts such as `auto=0.90`.

    Raises:
        RequestRefused: a text is none, names a band twice, or asks for what is no accuracy.
    """
    accuracies: dict[str, Decimal] = {}
    for text in given:
        name, separator, share = (part.strip() for part in text.partition("="))
        if not separator or not name or name in accuracies:
            raise errors.RequestRefused(
                f"--target {text}: write BAND=SHARE, such as auto=0.90, once for each band"
            )
        value = _number(share)
        if value is None or not 0 < value < 1:
            raise errors.RequestRefused(
                f"--target {name}={share}: the share must be above 0 and below 1, with at most four digits"
            )
        accuracies[name] = exact_tests.plain(value)
    return accuracies


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
    return exact_tests.plain(value)


def costs(text: str) -> Costs:
    """The costs in `error=10,review=1,...`; see `sidecar.policy.model.Costs` for the names.

    Raises:
        RequestRefused: it cannot be read, a name is unknown, or a number is missing or out of range.
    """
    names = ", ".join(Costs.model_fields)
    numbers: dict[str, float] = {}
    for part in text.split(","):
        name, separator, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            separator = ""
        if not separator or name not in Costs.model_fields or name in numbers:
            raise errors.RequestRefused(
                f"--costs: {part.strip()!r} is none of NAME=NUMBER, each name once; the names are {names}"
            )
        numbers[name] = value
    try:
        return Costs.model_validate(numbers)
    except pydantic.ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(key) for key in item['loc']) or 'costs'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise errors.RequestRefused(f"--costs: {problems}; the names are {names}") from error


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    usable = value.is_finite() and abs(value) < 2 and value == value.quantize(exact_tests.DIGITS)
    return value if usable else None
