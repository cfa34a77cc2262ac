"""The registry: publishes calibrators with their evidence, and moves the aliases that sidecars follow."""

from training.registry.promotion import Promotion, promote, rollback
from training.registry.publishing import publish
from training.registry.versions import CHAMPION, RegistryRefused, champion, person

__all__ = [
    "CHAMPION",
    "Promotion",
    "RegistryRefused",
    "champion",
    "person",
    "promote",
    "publish",
    "rollback",
]
