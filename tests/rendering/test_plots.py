"""Plots as files."""

from __future__ import annotations

import pytest

from mlcli.errors import UsageError
from mlcli.rendering import plots


def test_the_error_without_matplotlib_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'mlcli\[plots\]'"):
        plots.require_matplotlib()
