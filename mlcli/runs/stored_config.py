"""The configuration that a run left: whole and resolved, so that nothing else has a say in it."""

from __future__ import annotations

from pathlib import Path

from mlcli.config.experiment import load_experiment
from mlcli.config.messages import SourceLocation
from mlcli.config.schema import ExperimentConfig
from mlcli.config.yaml_reader import parse_value
from mlcli.errors import ConfigError, DataError
from mlcli.runs.directory import CONFIG
from mlcli.untrusted import read_inside


def read_config(directory: Path) -> ExperimentConfig:
    """The resolved configuration in a run directory; the environment has no say. DataError for anything else.

    A resolved configuration extends no other file, so that it cannot reach out of the directory either.
    """
    path = directory / CONFIG
    try:
        if _extends(read_inside(directory, CONFIG)):
            raise ValueError("it extends another file")
        config = load_experiment(path, environ={})
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: nothing says what was run") from error
    except ConfigError as error:
        more = f" (and {len(error.issues) - 1} more)" if len(error.issues) > 1 else ""
        raise DataError(f"{error.issues[0]}{more}\nthis is not the configuration that a run left") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: not the configuration that a run left: {reason}") from error
    return config


def _extends(data: bytes) -> bool:
    """Whether it names other files; what else may be wrong with it is said by whoever loads it."""
    node, _ = parse_value(data.decode("utf-8", "replace"), SourceLocation(CONFIG))
    return node is not None and "extends" in node.entries
