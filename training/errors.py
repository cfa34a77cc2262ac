"""What `training` refuses, as types with a stable code; the message says what to do next."""

from typing import ClassVar

from calibrators import errors


class DataRefused(errors.TruebandError):
    """The labelled data cannot be used as they are."""

    code: ClassVar[str] = "DATA_REFUSED"


class NotEnoughLabels(errors.TruebandError):
    """There are too few labels for what was asked; collect more and try again."""

    code: ClassVar[str] = "NOT_ENOUGH_LABELS"


class RequestRefused(errors.TruebandError):
    """The options contradict one another or the data; change them as the message says."""

    code: ClassVar[str] = "REQUEST_REFUSED"
