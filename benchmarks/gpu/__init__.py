"""Checks and measurements on a GPU: ``make gpu``, or ``python -m benchmarks.gpu``."""
