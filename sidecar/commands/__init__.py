"""The commands of `python -m sidecar`, one module each: `add_parser` declares, `run` does."""
