"""What a fitted calibrator may carry beside its map: category offsets and a lower curve."""

import dataclasses
from collections.abc import Mapping

import calibrators
from calibrators.calibrator import Golden
from training.data.dataset import Dataset
from training.fit import lower_curve
from training.fit import offsets as offsets_module

LEVEL = 0.95


def complete(
    calibrator: calibrators.Calibrator,
    dataset: Dataset,
    *,
    offsets: bool = True,
    lower: bool = True,
    level: float = LEVEL,
    seed: int = 0,
) -> calibrators.Calibrator:
    """The calibrator with what is asked for, in place of what it carries already.

    The offsets come first: the curve is a bound for the confidences that will be answered.

    Args:
        calibrator: fitted to the dataset.
        dataset: what it was fitted to; without categories there are no offsets.
        offsets: whether to look for category offsets (`training.offsets`); there may be none.
        lower: whether to add the lower curve (`training.lower_curve`).
        level: of the curve.
        seed: of folds and bootstrap.
    """
    found: Mapping[str, float] = offsets_module.fit(calibrator, dataset, seed=seed) if offsets else {}
    shifted = with_parts(calibrator, found, None)
    if not lower:
        return shifted
    return with_parts(calibrator, found, lower_curve.fit(shifted, dataset, level=level, seed=seed))


def with_parts(
    calibrator: calibrators.Calibrator,
    category_offsets: Mapping[str, float],
    lower: calibrators.LowerCurve | None,
) -> calibrators.Calibrator:
    """The calibrator with these offsets and this curve, and a golden vector made for them."""
    return dataclasses.replace(calibrator, category_offsets=category_offsets, lower=lower, golden=Golden())


def description(calibrator: calibrators.Calibrator, *, asked: bool) -> list[str]:
    """What the calibrator carries beside its map, a line each.

    Args:
        calibrator: completed.
        asked: whether offsets were looked for, so that their absence says something.
    """
    lines = []
    if calibrator.category_offsets:
        told = ", ".join(f"{name} {offset:+.2f}" for name, offset in calibrator.category_offsets.items())
        lines.append(f"Category offsets, on the logit: {told}. Other categories: as all together.")
    elif asked:
        lines.append(
            "No category offsets: by cross-validation they improve nothing clearly, or no category has "
            f"{offsets_module.MINIMUM:.0f} labels."
        )
    if calibrator.lower is not None:
        shown = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
        told = ", ".join(
            f"{each:.2f} is at least {calibrator.lower.one(each, calibrator.epsilon):.3f}" for each in shown
        )
        lines.append(f"Lower curve ({calibrator.lower.method}, level {calibrator.lower.level:g}): {told}.")
    return lines
