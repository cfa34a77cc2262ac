"""Detectors that stay valid however often they are looked at, and the watch that feeds them."""
