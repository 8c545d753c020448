"""The HTML report."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from mlcli import __version__
from mlcli.compare import CompareRequest
from mlcli.compare.conclusions import conclusions, method
from mlcli.compare.html import comparison_html
from mlcli.compare.report import report_comparison
from tests.fixtures.comparisons import THREE


def test_html_needs_no_other_files(comparison_of, tmp_path):
    path = tmp_path / "new" / "report.html"
    comparison = comparison_of({("<b>" if label == "a" else label): runs for label, runs in THREE.items()})
    report_comparison(comparison, CompareRequest(output_format="html", output=path))
    text = path.read_text()
    assert "<b>" not in text
    assert "&lt;b&gt;" in text
    assert text.count("data:image/png;base64,") == 4
    assert "http" not in text
    assert "src=" not in text.replace('src="data:', "")


def test_html_opens_with_the_conclusions_and_folds_the_method(comparison_of):
    comparison = comparison_of(THREE)
    text = comparison_html(comparison)
    assert text.index(conclusions(comparison)[0]) < text.index("<table")
    outside = re.sub("(?s)<details>.*?</details>", "", text)
    assert method(comparison) in text
    assert method(comparison) not in outside
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert f"mlcli {__version__}; {datetime.now(UTC):%Y-%m-%d}" in outside


def test_every_table_has_a_caption_and_headers_that_sort_it(comparison_of):
    text = comparison_html(comparison_of(THREE))
    tables = re.findall("(?s)<table.*?</table>", text)
    assert len(tables) == 3
    for table in tables:
        assert "<caption>" in table
        assert table.count('<th scope="col"><button>') == table.count("<th ")


def test_images_are_described(comparison_of):
    texts = re.findall('<img alt="([^"]+)"', comparison_html(comparison_of(THREE)))
    assert len(texts) == 4
    assert any("b: accuracy" in text and "worse" in text for text in texts)
