"""docs/commands.md describes every command, exit code, environment variable and file of a run."""

from __future__ import annotations

import re

from mlcli.config.experiment import OTHER_VARIABLES, SHORT_NAMES
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import ExitCode
from mlcli.runs import directory, manifest
from tests.docs.test_pages import COMMANDS
from tests.fixtures.pages import prose, section, table

PAGE = "docs/commands.md"
_INTERNAL = {"MLCLI_SESSION"}  # set by compare for the runs that it starts


def test_every_command_has_a_heading():
    headings = re.findall(r"^#{2,3} (.*)$", prose(PAGE), re.MULTILINE)
    named = {name.strip("` ") for heading in headings for name in re.split(",| and ", heading)}
    assert set(COMMANDS) <= named


def test_the_table_of_exit_codes_is_complete():
    numbers = [int(number) for row in table(section(PAGE, "Exit codes")) for number in row[0].split(", ")]
    assert numbers == sorted(map(int, ExitCode))


def test_the_table_of_environment_variables_is_complete():
    named = {name for row in table(section(PAGE, "Environment variables")) for name in re.findall(r"MLCLI_\w+", row[0])}
    others = OTHER_VARIABLES - _INTERNAL | set(SHORT_NAMES)
    assert named >= others
    settings = {name.removeprefix("MLCLI_").lower().partition("__")[0] for name in named - others}
    assert settings <= set(ExperimentConfig.model_fields)


def test_the_table_of_files_is_complete():
    named = {name for row in table(section(PAGE, "Files of a run")) for name in re.findall(r"`([\w.]+)/?`", row[0])}
    names = (
        "CONFIG",
        "ENVIRONMENT",
        "PREPROCESSING",
        "HISTORY",
        "METRICS",
        "PREDICTIONS",
        "WEIGHTS",
        "ESTIMATOR",
        "LOG",
    )
    assert named == {getattr(directory, name) for name in names} | {manifest.MANIFEST, "checkpoint"}
