"""Configuration files written on the spot, and the faults they bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from mlcli.config.experiment import load_experiment
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import ConfigError

Load = Callable[..., ExperimentConfig]
Faults = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Write text to x.yaml in the working directory and load it."""
    monkeypatch.chdir(tmp_path)

    def load_text(
        text: str | bytes,
        flags: Mapping[str, object] | None = None,
        settings: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> ExperimentConfig:
        Path("x.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_experiment(Path("x.yaml"), flags=flags, settings=settings, environ=environ or {})

    return load_text


@pytest.fixture
def faults(load: Load) -> Faults:
    """As `load`, for what must not load: the fault lines."""

    def faults_of(text: str | bytes, **sources: object) -> list[str]:
        with pytest.raises(ConfigError) as error:
            load(text, **sources)
        assert error.value.exit_code == 2
        assert str(error.value) == "\n".join(error.value.faults)
        assert all(line.isprintable() for line in error.value.faults)
        return list(error.value.faults)

    return faults_of
