"""`mlcli config`: output on stdout and stderr, and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import typer
import yaml
from typer.testing import CliRunner

from mlcli.cli.app import app as main_app
from mlcli.cli.config import app
from mlcli.config.experiment import load_experiment, read_layers
from mlcli.config.schema import Adam, ExperimentConfig, Sgd
from mlcli.errors import ConfigError
from mlcli.experiment.plan import make_plan

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
SCHEMA_FILE = ROOT / "mlcli" / "config" / "experiment.schema.json"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def config(*arguments):
    """Run `mlcli config ARGUMENTS` and return the outcome. An error of mlcli is in its `.exception`."""
    return CliRunner().invoke(app, list(arguments))


def issues_of(result):
    assert isinstance(result.exception, ConfigError)
    assert result.exception.exit_code == 2
    return list(result.exception.issues)


def test_show_prints_yaml_that_loads_to_the_same():
    Path("x.yaml").write_text("optimizer: {name: adam, lr: 0.5}\nbackends: {keras: {seed: 3}}\n")
    result = config("show", "x.yaml", "--backend", "keras", "--set", "optimizer=sgd", "--set", "training.epochs=2")
    assert result.exit_code == 0
    Path("shown.yaml").write_text(result.stdout)
    shown = load_experiment(Path("shown.yaml"), environ={})
    assert (shown.backend, shown.seed, shown.training.epochs, shown.optimizer) == ("keras", 3, 2, Sgd(weight_decay=0.0))
    assert config("show", "shown.yaml").stdout == result.stdout


def test_show_without_a_file_prints_every_default_of_the_engine():
    Path("shown.yaml").write_text(config("show").stdout)
    shown = load_experiment(Path("shown.yaml"), environ={})
    assert shown == make_plan(ExperimentConfig(backend="torch")).config
    assert (shown.name, shown.optimizer, shown.training.epochs) == ("digits_mlp", Adam(lr=0.001, weight_decay=0.0), 23)


def test_show_prints_a_configuration_that_cannot_be_trained_with_a_note():
    result = config("show", "--backend", "sklearn", "--set", "model=cnn")
    assert result.exit_code == 0
    assert "name: cnn\n" in result.stdout
    assert result.stderr.startswith("note: this cannot be trained: model cnn does not run on scikit-learn")


def test_show_reports_issues_instead():
    result = config("show", "--backend", "troch")
    assert result.stdout == ""
    assert issues_of(result) == ["--backend: must be one of sklearn, torch, keras, got 'troch' (did you mean 'torch'?)"]


def test_validate_prints_ok_for_each_file_and_the_engines_it_was_checked_for():
    paths = sorted(str(path) for path in CONFIGS.glob("*_mlp.yaml"))
    result = config("validate", *paths)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{CONFIGS}/digits_mlp.yaml: ok (torch, keras, sklearn)",
        f"{CONFIGS}/fashion_mlp.yaml: ok (torch, keras, sklearn)",
        f"{CONFIGS}/mnist_mlp.yaml: ok (torch, keras)",
    ]


def test_validate_reports_every_issue_of_every_file():
    Path("a.yaml").write_text("sede: 1\nbackends:\n  torch: {seed: -1}\n  keras: {optimizer: lbgfs}\n")
    Path("b.yaml").write_text("seed: 1\n")
    Path("c.yaml").write_text("seed: 1\nseed: 2\n")
    result = config("validate", "a.yaml", "b.yaml", "missing.yaml", "c.yaml")
    assert result.stdout == "b.yaml: ok (torch)\n"
    assert issues_of(result) == [
        "a.yaml:1:1: sede: unknown key (did you mean 'seed'?)",
        "a.yaml:3:17: backends.torch.seed: must be at least 0, got -1",
        "a.yaml:4:22: backends.keras.optimizer.name: unknown optimizer 'lbgfs' (did you mean 'lbfgs'?); "
        "known: sgd, adam, adamw, rmsprop, lbfgs",
        "missing.yaml: no such file",
        "c.yaml:2:1: seed: is set twice (first in line 1)",
    ]


def test_validate_checks_common_settings_for_each_engine():
    Path("x.yaml").write_text("optimizer: {decay: 2, name: rmsprop}\nbackends: {torch: {optimizer: sgd}, keras: }\n")
    assert issues_of(config("validate", "x.yaml")) == ["x.yaml:1:20: optimizer.decay: must be less than 1, got 2"]


def test_validate_reports_what_an_engine_cannot_do():
    Path("x.yaml").write_text("optimizer: rmsprop\nbackends: {torch: , sklearn: }\n")
    (issue,) = issues_of(config("validate", "x.yaml"))
    assert issue.startswith("x.yaml: backend sklearn: optimizer rmsprop cannot train mlp on scikit-learn")
    Path("x.yaml").write_text("dataset: fashoin\n")
    (issue,) = issues_of(config("validate", "x.yaml"))
    assert issue == (
        "x.yaml:1:10: dataset.name: must be one of iris, wine, breast_cancer, digits, mnist, fashion, got 'fashoin' "
        "(did you mean 'fashion'?)"
    )


def test_validate_ignores_the_environment(monkeypatch):
    Path("x.yaml").write_text("seed: 1\n")
    monkeypatch.setenv("MLCLI_SEED", "nonsense")
    assert config("validate", "x.yaml").exit_code == 0
    assert issues_of(config("show", "x.yaml")) == ["MLCLI_SEED: must be a whole number, got 'nonsense'"]


def test_validate_needs_a_file():
    assert config("validate").exit_code == 2


def test_schema_prints_one_json_document():
    result = config("schema")
    assert result.exit_code == 0
    assert set(ExperimentConfig.model_fields) < set(json.loads(result.stdout)["properties"])


def test_the_schema_file_for_editors_is_up_to_date():
    regenerate = "run `mlcli config schema > mlcli/config/experiment.schema.json` and commit the file"
    assert SCHEMA_FILE.read_bytes().decode() == config("schema").stdout, regenerate


def test_file_names_are_printed_with_escapes_written_out():
    name = "\x1b[31m.yaml"
    Path(name).write_text("seed: 1\n")
    assert config("validate", name).stdout == "\\x1b[31m.yaml: ok (torch)\n"


def test_help_needs_neither_pydantic_nor_yaml():
    code = (
        "import sys; from mlcli.cli import config; "
        "print([name for name in ('pydantic', 'yaml', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert isinstance(app, typer.Typer)


SHIPPED = [(path, backend) for path in sorted(CONFIGS.glob("*.yaml")) for backend in read_layers(path, {}).backends()]


def printed_by_train(*arguments):
    with patch.dict(os.environ):  # train sets the thread count of libraries there
        return CliRunner().invoke(main_app, ["train", *map(str, arguments), "--print-config"]).stdout


@pytest.mark.parametrize(("path", "backend"), SHIPPED, ids=lambda value: getattr(value, "stem", value))
def test_show_prints_what_train_resolves(path, backend):
    shown = config("show", str(path), "--backend", backend).stdout
    assert shown == printed_by_train(path, "--backend", backend)
    resolved = yaml.safe_load(shown)
    assert None not in resolved["optimizer"].values()
    assert (resolved["training"]["epochs"] is None) == (backend == "sklearn" and "logistic" in path.stem)


@pytest.mark.parametrize("model", ["logistic", "mlp", "cnn"])
@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_show_prints_what_train_resolves_from_flags(model, backend):
    flags = ("--backend", backend, "--model", model, "--optimizer", "sgd", "--limit", "300", "--seed", "3")
    settings = (f"model={model}", "optimizer=sgd", "dataset.limit=300", "seed=3")
    options = [option for text in settings for option in ("--set", text)]
    assert config("show", "--backend", backend, *options).stdout == printed_by_train(*flags)
