"""The configuration that a run left: whole and resolved, so that nothing else has a say in it."""

from __future__ import annotations

from pathlib import Path

from mlcli.config.experiment import parse_experiment
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import ConfigError, DataError
from mlcli.runs.directory import CONFIG
from mlcli.text import escaped
from mlcli.untrusted import read_inside


def read_config(directory: Path) -> ExperimentConfig:
    """The resolved configuration in a run directory; the environment has no say. DataError for anything else.

    A resolved configuration extends no other file, so that it cannot reach out of the directory either.
    """
    path = directory / CONFIG
    try:
        config = parse_experiment(read_inside(directory, CONFIG), escaped(str(path)))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: nothing says what was run") from error
    except ConfigError as error:
        more = f" (and {len(error.issues) - 1} more)" if len(error.issues) > 1 else ""
        raise DataError(f"{error.issues[0]}{more}\nthis is not the configuration that a run left") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: not the configuration that a run left: {reason}") from error
    return config
