"""The registry: publishes calibrators with their evidence, and moves the aliases that sidecars follow."""

from sidecar.dialect import CHAMPION
from training.registry.promotion import Promotion, promote, rollback, standing
from training.registry.publication import publish
from training.registry.versions import UNDRAWN_TAG, RegistryRefused, address, champion, person

__all__ = [
    "CHAMPION",
    "UNDRAWN_TAG",
    "Promotion",
    "RegistryRefused",
    "address",
    "champion",
    "person",
    "promote",
    "publish",
    "rollback",
    "standing",
]
