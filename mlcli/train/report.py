"""What `--dry-run` shows: the experiment as it would run."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from mlcli.config.dump import to_dict
from mlcli.config.schema import ExperimentConfig
from mlcli.rendering.console import OutputFormat
from mlcli.rendering.tables import print_csv, print_markdown, print_table
from mlcli.text import to_json


def print_plan(figures: Mapping[str, object], config: ExperimentConfig, output_format: str) -> None:
    """Print a plan to stdout, as `describe_plan` gives it; JSON holds the resolved configuration too."""
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            sys.stdout.write(to_json({"schema_version": 1, "plan": figures, "config": to_dict(config)}))
        case OutputFormat.CSV:
            print_csv([figures])
        case OutputFormat.MARKDOWN:
            print_markdown([{"plan": name, "value": value} for name, value in figures.items()])
        case OutputFormat.TABLE:
            print_table(
                "the plan; nothing was run", [{"plan": name, "value": value} for name, value in figures.items()]
            )
