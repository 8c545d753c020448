"""One classification experiment, three engines, numbers you can compare."""

__version__ = "0.1.0"
