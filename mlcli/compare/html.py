"""A comparison as one self-contained HTML file: conclusions, tables, plots, comparability report and runs."""

from __future__ import annotations

import shlex
import sys
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from io import BytesIO

from mlcli import __version__
from mlcli.compare.conclusions import conclusions, method
from mlcli.compare.cost import cost_sentence
from mlcli.compare.plots import Plot, comparison_plots
from mlcli.compare.records import Comparison, MeasuredRun
from mlcli.compare.tables import Cells, TextTable, comparison_tables, controlled_table, differences_table, title_of
from mlcli.registry import DEFAULT_METRIC, METRICS

_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --faint: #595959; --line: #ddd; --page: #fff }
:root { --good: #00694c; --bad: #a63c00 }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8e8e8; --faint: #a8a8a8; --line: #444; --page: #1b1b1d; --good: #4fc9a0; --bad: #ff9a5c }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
body { color: var(--text); background: var(--page); overflow-wrap: anywhere }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal }
caption, summary { font-weight: 600; font-size: 1.1rem; text-align: left; padding: 0.5rem 0; cursor: default }
summary { cursor: pointer }
th, td { padding: 0.3rem 0.8rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--faint); font-weight: 600; white-space: pre-line }
th button { all: unset; cursor: pointer } th button:focus-visible { outline: 2px solid }
th[aria-sort=ascending] button::after { content: " \\2191" }
th[aria-sort=descending] button::after { content: " \\2193" }
td { white-space: nowrap } .text td { white-space: normal }
th:first-child, td:first-child, .text th, .text td { text-align: left }
.better, .faster { color: var(--good) } .worse, .slower { color: var(--bad) }
figure { margin: 2rem 0 } img { max-width: 100%; height: auto; display: block; border-radius: 4px }
.wide { overflow-x: auto } .aside { color: var(--faint); font-size: 0.9rem }
"""

# Sorts a table by the column whose header is clicked: by the first number in each cell if all cells have one.
_SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const header = button.parentNode, table = header.closest("table"), column = header.cellIndex;
  const up = header.getAttribute("aria-sort") !== "ascending", rows = [...table.tBodies[0].rows];
  const text = row => row.cells[column].textContent;
  const number = row => parseFloat(text(row).replace(/,/g, "").replace(/^[^-+\\d.]+/, ""));
  const numeric = rows.every(row => !text(row) || !isNaN(number(row)));
  const order = (a, b) => numeric ? (number(a) || 0) - (number(b) || 0) : text(a).localeCompare(text(b));
  rows.sort((a, b) => up ? order(a, b) : order(b, a)).forEach(row => table.tBodies[0].append(row));
  for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
};
"""


def comparison_html(comparison: Comparison) -> str:
    """Return the HTML document: the conclusions first; the method and what was controlled are folded."""
    title = escape(title_of(comparison))
    parts = [f"<h1>{title}</h1>"]
    parts += [f"<p><strong>{escape(sentence)}</strong></p>" for sentence in conclusions(comparison)]
    parts += [f"<p>{escape(comparison.next_step)}</p>"] if comparison.next_step else []
    parts += [_table(table) for table in comparison_tables(comparison)]
    parts += [_figure(name, plot) for name, plot in comparison_plots(comparison).items()]
    if comparison.receipt:
        parts += [_table(table, "text") for table in differences_table(comparison.receipt)]
        tables = [_table(table, "text") for table in controlled_table(comparison.receipt)]
        parts.append(_folded("Controlled conditions", tables))
    parts.append(_folded("Runs", [_table(_runs_table(comparison), "text")]))
    notes = [f"<p>{escape(method(comparison))}</p>", *(f"<p>note: {escape(note)}</p>" for note in comparison.notes)]
    parts.append(_folded("Method and notes", notes))
    parts += [f'<p class="aside">{escape(line)}</p>' for line in _origin(comparison)]
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{meta}<title>{title}</title><style>{_STYLE}</style>"
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n'
        f"<script>{_SCRIPT}</script>\n</body></html>\n"
    )


def _origin(comparison: Comparison) -> list[str]:
    """Return what was run, when, by which version, and what it cost."""
    cost = [cost_sentence(comparison.cost)] if comparison.cost else []
    command = shlex.join(["mlcli", *sys.argv[1:]])
    return [*cost, f"{command}; mlcli {__version__}; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"]


def _folded(title: str, parts: Sequence[str]) -> str:
    return "\n".join([f"<details><summary>{escape(title)}</summary>", *parts, "</details>"])


def _table(table: TextTable, kind: str = "") -> str:
    header = "".join(
        f'<th scope="col">{f"<button>{escape(name)}</button>" if name else ""}</th>' for name in table.rows[0]
    )
    rows = "".join(f"<tr>{''.join(_cell(value) for value in row.values())}</tr>" for row in table.rows)
    return (
        f'<div class="wide"><table class="{kind}"><caption>{escape(table.title)}</caption>'
        f"<thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cell(value: str | None) -> str:
    text = value or ""
    is_verdict = text in ("better", "worse", "faster", "slower")
    return f'<td class="{text}">{text}</td>' if is_verdict else f"<td>{escape(text)}</td>"


def _runs_table(comparison: Comparison) -> TextTable:
    rows: list[Cells] = [
        {
            "variant": variant.label,
            "seed": str(run.draw.seed),
            **({"fold": run.draw.split} if comparison.has_folds else {}),
            "run": run.run_id,
            "accuracy": f"{run.measurements['accuracy']:.4f}",
            **_chosen_metric(comparison, run),
            "fit (s)": f"{run.measurements['fit_seconds'] or 0:.4g}",
            "reused": "yes" if run.is_reused else "",
        }
        for variant in comparison.variants
        for run in variant.runs
    ]
    return TextTable("runs", rows)


def _chosen_metric(comparison: Comparison, run: MeasuredRun) -> Cells:
    if comparison.metric == DEFAULT_METRIC:
        return {}
    value = run.measurements.get(comparison.metric)
    return {METRICS[comparison.metric].title: "" if value is None else f"{value:.4f}"}


def _figure(name: str, plot: Plot) -> str:
    data = BytesIO()
    plot.figure.savefig(data, format="png", dpi=110)
    source = f"data:image/png;base64,{b64encode(data.getvalue()).decode()}"
    title = name.replace("_", " ").capitalize()
    alt = escape(plot.description, quote=True)
    return f'<figure><figcaption class="aside">{title}</figcaption><img alt="{alt}" src="{source}"></figure>'
