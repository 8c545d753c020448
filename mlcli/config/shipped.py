"""The configurations that come with mlcli, and the file that a name on the command line stands for.

This module is imported for every command line; it reads no YAML.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlcli.errors import UsageError, nearest_match, unknown_name

# In a checkout this is a link to `configs`.
_FOLDER = Path(__file__).with_name("experiments")
SCHEMA_FILE = Path(__file__).with_name("experiment.schema.json")
_SUFFIXES = (".yaml", ".yml")
_MAX_SHOWN_CHARACTERS = 80


def shipped_configs() -> dict[str, Path]:
    """Return the files of all shipped configurations by name, sorted."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def config_file(reference: str) -> Path | None:
    """Return the configuration file that a text names; None if it names none, but perhaps a run.

    A text with the suffix of a YAML file is a path, whether it exists or not. Another one is an existing file, else
    NAME.yaml in the working directory, else a shipped configuration.
    """
    if reference.endswith(_SUFFIXES) or os.path.isfile(reference):
        return Path(reference)
    if os.path.basename(reference) == reference and os.path.isfile(f"{reference}.yaml"):
        return Path(f"{reference}.yaml")
    return shipped_configs().get(reference)


def find_config(reference: str) -> Path:
    """Return the configuration file that a text names, see config_file.

    UsageError, with the nearest name, for a name that is unknown. A path is returned even if there is no such file.
    """
    found = config_file(reference)
    if found is None and os.path.basename(reference) == reference and not os.path.exists(reference):
        raise UsageError(_unknown(reference))
    return found or Path(reference)


def shipped_config(name: str) -> Path:
    """Return the file of a shipped configuration; UsageError, with the nearest name, for an unknown one."""
    shipped = shipped_configs()
    if name not in shipped:
        raise UsageError(_unknown(name))
    return shipped[name]


@contextmanager
def similar_names(references: Sequence[str]) -> Iterator[None]:
    """Add to a UsageError about these texts, which are taken for runs, the shipped configuration that one resembles."""
    try:
        yield
    except UsageError as error:
        for reference in references:
            similar = nearest_match(reference[:_MAX_SHOWN_CHARACTERS], list(shipped_configs()))
            if similar is not None:
                error.add_note(f"did you mean the configuration {similar!r}? mlcli config list shows all")
        raise


def _unknown(name: str) -> str:
    message = unknown_name("configuration", name[:_MAX_SHOWN_CHARACTERS], list(shipped_configs()))
    return f"{message}\nname a YAML file, or one that `mlcli config list` shows"


def description(path: Path) -> str:
    """Return what a shipped configuration is: the comment above its command, without the line for editors."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return " ".join(line.removeprefix("# ") for line in lines[: lines.index("#")])


def content_elsewhere(path: Path) -> str:
    """Return the text of a shipped configuration for another folder, from where editors still find the schema."""
    return re.sub(r"(?<=\$schema=)\S+", lambda _: SCHEMA_FILE.as_uri(), path.read_text(encoding="utf-8"), count=1)
