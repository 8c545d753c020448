"""The HTML report."""

from __future__ import annotations

from mlcli.compare import CompareRequest
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
    assert "<script" not in text
