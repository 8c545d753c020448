"""Which experiment `mlcli batch-bench` measures, and the line that trains it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcli.experiment.plan import Plan

_DEFAULT_DATASET = "mnist"


@dataclass(frozen=True)
class BenchSource:
    """What the command line of `mlcli batch-bench` says of the experiment: a YAML file, a run, or flags alone."""

    source: str | None
    backends: str | None
    flags: Mapping[str, tuple[str, object]]  # flag to key and value
    settings: list[str]
    device: str | None
    precision: str | None
    data_directory: Path | None

    def plans(self, runs_directory: Path | None) -> tuple[dict[str, Plan], Path | None]:
        """The plan of each engine, and the directory of the run where one was named."""
        if self._names_run():
            return self._plans_of_run(runs_directory)
        return self._plans_of_config(), None

    def _names_run(self) -> bool:
        return (
            self.source is not None and not self.source.endswith((".yaml", ".yml")) and not os.path.isfile(self.source)
        )

    def _plans_of_config(self) -> dict[str, Plan]:
        from mlcli.config.experiment import load_experiment
        from mlcli.experiment.plan import make_plan
        from mlcli.registry import DEFAULT_BACKEND

        path = Path(self.source) if self.source else None
        flags = dict(self.flags.values()) | self._runtime_flags()
        if self._leaves_dataset_open():
            flags["dataset.name"] = _DEFAULT_DATASET
        names = self._names() or [load_experiment(path, flags=flags, settings=self.settings).backend or DEFAULT_BACKEND]
        return {
            name: make_plan(load_experiment(path, flags={**flags, "backend": name}, settings=self.settings))
            for name in names
        }

    def _runtime_flags(self) -> dict[str, object]:
        return {"runtime.device": self.device, "runtime.precision": "float32" if self.precision else None}

    def _leaves_dataset_open(self) -> bool:
        """Whether nothing names a dataset. The default ladder is made for one with 60,000 samples."""
        is_set = any(text.startswith("dataset") for text in self.settings)
        is_in_environment = any(name in os.environ for name in ("MLCLI_DATASET", "MLCLI_DATASET__NAME"))
        return self.source is None and self.flags["--dataset"][1] is None and not is_set and not is_in_environment

    def _names(self) -> list[str]:
        from mlcli.registry import backend_info

        names = list(dict.fromkeys(name.strip() for name in (self.backends or "").split(",") if name.strip()))
        for name in names:
            backend_info(name)
        return names

    def _plans_of_run(self, runs_directory: Path | None) -> tuple[dict[str, Plan], Path]:
        from mlcli.errors import UsageError
        from mlcli.experiment.plan import make_plan
        from mlcli.experiment.stored_run import open_run
        from mlcli.runs.find import default_runs_directory, find_run

        stored = open_run(find_run(self.source or "", runs_directory or default_runs_directory()))
        given = [flag for flag, (_, value) in self.flags.items() if value is not None]
        given += ["--set"] if self.settings else []
        if given:
            raise UsageError(f"{', '.join(given)}: a run brings its own experiment\nleave it away, or give a YAML file")
        changes = {key.partition(".")[2]: value for key, value in self._runtime_flags().items() if value is not None}
        config = stored.config.model_copy(update={"runtime": stored.config.runtime.model_copy(update=changes)})
        names = self._names() or [stored.record.backend]
        return {name: make_plan(config.model_copy(update={"backend": name})) for name in names}, stored.path

    def train_line(self, run: Path | None, *, with_threads: bool) -> Callable[[str, int, int], str | None]:
        """Of a backend, a thread count and a batch size, the command that trains so."""
        words = ["mlcli", "train"]
        if run is not None:
            words.append(str(run / "config.yaml"))
        elif self.source:
            words.append(self.source)
        elif self._leaves_dataset_open():
            words += ["--dataset", _DEFAULT_DATASET]
        for flag, (_, value) in self.flags.items():
            words += [flag, str(value)] if value is not None else []
        for text in self.settings:
            words += ["--set", text]
        words += ["--device", self.device] if self.device else []
        words += ["--data-dir", str(self.data_directory)] if self.data_directory else []

        def line(backend: str, n_threads: int, batch_size: int) -> str:
            own = ["--threads", str(n_threads)] if with_threads else []
            return shlex.join([*words, "--backend", backend, "--batch-size", str(batch_size), *own])

        return line
