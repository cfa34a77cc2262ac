"""What keeps a model's routing honest: when to raise an alarm, when to refit, what may go live unasked."""

from typing import Annotated

from pydantic import Field

from sidecar.policy.fields import Duration, Rate, Strict

FalseAlarmRate = Annotated[Rate, Field(gt=0, le=0.5)]
Index = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]


class Watch(Strict):
    """How `python -m training watch` decides.

    Attributes:
        false_alarm_rate: at most this probability that a stratum whose promise holds raises an alarm within its
            first 2,000 audited labels, however often it is looked at in between.
        shift_warning: the population stability index of the score distribution from which on it warns.
    """

    false_alarm_rate: FalseAlarmRate = 0.05
    shift_warning: Index = 0.1


class Retrain(Strict):
    """When `watch` starts a retrain, and what a retrain may use.

    Attributes:
        on_alarm: when a calibration or accuracy alarm is raised.
        after_labels: when there are this many new labels since the champion's fit; None: never for that.
        after: when the champion's fit is older; None: never for that.
        promote: whether the gate's acceptance promotes; otherwise a person does.
        undrawn_labels: whether labels that were not drawn with a known probability may train, too. They are
            no sample of anything, and they never enter an estimate.
    """

    on_alarm: bool = False
    after_labels: int | None = Field(None, ge=1)
    after: Duration | None = None
    promote: bool = False
    undrawn_labels: bool = False


class Admission(Strict):
    """Which new calibrator a sidecar takes without a person's approval.

    Attributes:
        max_auto_shift: the most by which the share of automatic decisions may change, measured by putting the
            last inputs through the newcomer; a version that is tagged as approved may change more. A file has
            nothing that could be tagged, so what it would change is only said.
        recent: how many of the last inputs are kept for that; 0: none, and nothing is measured.
    """

    max_auto_shift: Rate = 0.10
    recent: int = Field(1000, ge=0, le=100_000)
