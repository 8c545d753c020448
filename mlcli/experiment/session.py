"""Measurement sessions: the runs of one call of `compare`, whose times are comparable.

Times of other calls were measured under other loads, and a resumed run was measured in parts. A run keeps its session
in environment.json, as `session: {id, host, n_parallel}`, so that its times stay comparable with exactly those runs.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SESSION_VARIABLE = "MLCLI_SESSION"  # set for the processes of cells: the id, a colon, and n_parallel


@dataclass(frozen=True)
class Session:
    """Where and when a run was measured. n_parallel: how many runs were measured at a time."""

    id: str
    host: str
    n_parallel: int

    @classmethod
    def stored(cls, environment: Mapping[str, Any]) -> Session | None:
        """Return the session in the content of environment.json; None if there is none or its form is unknown."""
        match environment.get("session"):
            case {"id": str(identifier), "host": str(host), "n_parallel": int(n_parallel)}:
                return cls(identifier, host, n_parallel)
        return None


def session_variables(identifier: str, n_parallel: int) -> dict[str, str]:
    """Return the environment variables by which a process knows its session."""
    return {SESSION_VARIABLE: f"{identifier}:{n_parallel}"}


def current_session() -> dict[str, Any] | None:
    """Return the session of this process as JSON values; None outside of a comparison."""
    identifier, _, number = os.environ.get(SESSION_VARIABLE, "").partition(":")
    return asdict(Session(identifier, platform.node(), int(number))) if identifier and number.isdecimal() else None
