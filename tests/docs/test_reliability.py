"""Every promise of docs/reliability.md, and every measured rate of docs/statistics.md, names existing tests."""

from __future__ import annotations

import re

import pytest

from tests.fixtures.pages import read, section, table


@pytest.mark.parametrize(
    ("page", "title"), [("docs/reliability.md", "Promises"), ("docs/statistics.md", "Error rates and power")]
)
def test_every_row_names_existing_tests(page, title):
    rows = table(section(page, title))
    assert len(rows) > 4
    for row in rows:
        paths = re.findall(r"`(tests/[\w/]+\.py)`", row[-1])
        assert paths, row
        for path in paths:
            assert "def test_" in read(path), path
