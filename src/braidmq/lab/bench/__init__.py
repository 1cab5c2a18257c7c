"""Benchmarks: the same echo over BraidMQ and over its rivals, side by side in one run."""
