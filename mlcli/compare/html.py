"""A comparison as one self-contained HTML file: conclusions, tables, plots, comparability report and runs."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from mlcli.compare.conclusions import METHOD, conclusions, cost_sentence
from mlcli.compare.plots import comparison_figures
from mlcli.compare.records import Comparison
from mlcli.compare.tables import Cells, TextTable, comparison_tables, receipt_tables, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: 0.3rem 0.8rem; text-align: right; border-bottom: 1px solid #ddd; vertical-align: top }
th { color: #555; font-weight: 600; white-space: pre-line }
th:first-child, td:first-child, .text th, .text td { text-align: left }
.better, .faster { color: #00694c } .worse, .slower { color: #a63c00 }
img { max-width: 100%; height: auto; display: block; margin: 1rem 0 }
.wide { overflow-x: auto } .aside { color: #555; font-size: 0.9rem }
"""


def comparison_html(comparison: Comparison) -> str:
    """Return the HTML document."""
    title = escape(title_of(comparison))
    parts = [f"<h1>{title}</h1>"]
    parts += [f"<p><strong>{escape(sentence)}</strong></p>" for sentence in conclusions(comparison)]
    parts += [_table(table) for table in comparison_tables(comparison)]
    parts += [_image(name, figure) for name, figure in comparison_figures(comparison).items()]
    if comparison.receipt:
        parts += [_table(table, "text") for table in receipt_tables(comparison.receipt)]
    parts.append(_table(_runs_table(comparison), "text"))
    parts += [f'<p class="aside">note: {escape(note)}</p>' for note in comparison.notes]
    parts.append(f'<p class="aside">{escape(METHOD)}</p>')
    if comparison.cost:
        parts.append(f'<p class="aside">{escape(cost_sentence(comparison.cost))}</p>')
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"{meta}<title>{title}</title><style>{_STYLE}</style>"
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _table(table: TextTable, kind: str = "") -> str:
    header = "".join(f"<th>{escape(name)}</th>" for name in table.rows[0])
    rows = "".join(f"<tr>{''.join(_cell(value) for value in row.values())}</tr>" for row in table.rows)
    return (
        f'<h2>{escape(table.title)}</h2>\n<div class="wide"><table class="{kind}"><tr>{header}</tr>{rows}</table></div>'
    )


def _cell(value: str | None) -> str:
    text = value or ""
    is_verdict = text in ("better", "worse", "faster", "slower")
    return f'<td class="{text}">{text}</td>' if is_verdict else f"<td>{escape(text)}</td>"


def _runs_table(comparison: Comparison) -> TextTable:
    rows: list[Cells] = [
        {
            "variant": variant.label,
            "seed": str(run.seed),
            "run": run.run_id,
            "accuracy": f"{run.measurements['accuracy']:.4f}",
            "fit (s)": f"{run.measurements['fit_seconds'] or 0:.4g}",
            "reused": "yes" if run.is_reused else "",
        }
        for variant in comparison.variants
        for run in variant.runs
    ]
    return TextTable("runs", rows)


def _image(name: str, figure: Figure) -> str:
    data = BytesIO()
    figure.savefig(data, format="png", dpi=110)
    title = name.replace("_", " ")
    return f'<h2>{title}</h2>\n<img alt="{title}" src="data:image/png;base64,{b64encode(data.getvalue()).decode()}">'
