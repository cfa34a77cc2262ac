"""The registry: from what an alias says to the calibrator in force, and never a bad one."""

from sidecar.service.registry.slots import (
    CalibratorInForce,
    CalibratorSlot,
    Expectation,
    SlotStatus,
    challengers,
    expectations,
)
from sidecar.service.registry.sources import Resolved, Source
from sidecar.service.registry.watcher import RegistryWatcher

__all__ = [
    "CalibratorInForce",
    "CalibratorSlot",
    "Expectation",
    "RegistryWatcher",
    "Resolved",
    "SlotStatus",
    "Source",
    "challengers",
    "expectations",
]
