"""Runs on disk: the only code that knows the files of a run."""
