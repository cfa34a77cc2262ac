"""Hypothesis with the same examples each time, and no time limit that a busy machine misses blamelessly."""

from hypothesis import settings

settings.register_profile("trueband", deadline=None, derandomize=True)
settings.load_profile("trueband")
