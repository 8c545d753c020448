"""The command-line application and its one error boundary."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `mlcli` script."""
