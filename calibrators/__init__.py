"""The mathematics of Trueband: a raw confidence in, the probability of being correct out.

`loads` and `dumps` turn a JSON document into a `Calibrator` and back; `Calibrator.apply` takes arrays and
`Calibrator.apply_one` one value. Nothing here but the MLflow flavor imports more than numpy.
"""

from calibrators.applies_to import AppliesTo, matches
from calibrators.calibrator import Calibrator, Map
from calibrators.document import dumps, loads
from calibrators.errors import CalibratorRefused, EvidenceUnusable, TruebandError
from calibrators.evidence import Evidence
from calibrators.fit import Fit
from calibrators.histogram import ScoreHistogram
from calibrators.isotonic import Isotonic
from calibrators.lower_curve import LowerCurve
from calibrators.maps import Beta, Constant, Identity, Platt, Temperature, VectorTemperature

__all__ = [
    "AppliesTo",
    "Beta",
    "Calibrator",
    "CalibratorRefused",
    "Constant",
    "Evidence",
    "EvidenceUnusable",
    "Fit",
    "Identity",
    "Isotonic",
    "LowerCurve",
    "Map",
    "Platt",
    "ScoreHistogram",
    "Temperature",
    "TruebandError",
    "VectorTemperature",
    "dumps",
    "loads",
    "matches",
]
