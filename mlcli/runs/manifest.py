"""The manifest of a run: the sha256 of its files, which every file that is read must have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlcli.errors import DataError
from mlcli.text import escaped, first_line, to_json
from mlcli.untrusted import parse_json, read_inside

MANIFEST = "manifest.json"
_REMEDY = "restore the file from a copy, or train again"


def manifest_bytes(digests: Mapping[str, str]) -> bytes:
    """Return the content of a manifest. digests: the sha256 of each file by name."""
    return to_json({"algorithm": "sha256", "files": dict(digests)}).encode()


def read_manifest(directory: Path) -> dict[str, str]:
    """Return the sha256 of each file by name; DataError if the manifest is missing or cannot be read."""
    try:
        document = parse_json(read_inside(directory, MANIFEST))
        algorithm, files = document.get("algorithm"), document.get("files")
        if algorithm != "sha256":
            raise ValueError(f"algorithm {algorithm!r}, expected 'sha256'")
        if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
            raise ValueError("it does not list files by name and sha256")
    except FileNotFoundError as error:
        raise damage(directory / MANIFEST, "is missing: the files of the run cannot be verified") from error
    except (OSError, ValueError) as error:
        reason = f"is not a manifest that this version can read: {read_error(error)}"
        raise damage(directory / MANIFEST, reason) from error
    return files


def check_digest(file: Path, found: str, expected: str) -> None:
    """Raise DataError, naming the file, unless both digests are equal. expected: what the manifest lists."""
    if found != expected:
        says = f"its sha256 is {found[:12]}..., the manifest says {escaped(expected[:12])}..."
        raise damage(file, f"was altered: {says}")


def damage(file: Path, reason: str) -> DataError:
    """Return the error for a file of a run that cannot be used."""
    return DataError(f"{escaped(str(file))} {reason}\n{_REMEDY}")


def read_error(error: Exception) -> str:
    """Return why a file could not be read, on one line."""
    return str(error.strerror) if isinstance(error, OSError) else first_line(error)
