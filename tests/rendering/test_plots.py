"""Plots as files."""

from __future__ import annotations

import pytest

from mlcli.errors import UsageError
from mlcli.rendering import plots


def test_without_matplotlib_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'mlcli\[plots\]'"):
        plots.require_matplotlib()
