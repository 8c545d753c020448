"""Trained models as plain files of other projects' formats, each with the lines of Python that load it."""
