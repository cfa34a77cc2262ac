"""The Trueband sidecar: recalibrates a raw confidence, bands it, routes it and records it."""

from importlib.metadata import version

ENGINE_VERSION = version("trueband")
