"""Benchmarks: measured by `make bench`, never inside the tests."""
