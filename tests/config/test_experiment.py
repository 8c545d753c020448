"""The precedence of sources, the choice of the engine, and files that extend others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlcli.config.dump import to_yaml
from mlcli.config.experiment import load_experiment, read_layers
from mlcli.config.schema import (
    Adam,
    EstimatorModel,
    ExperimentConfig,
    Lbfgs,
    LogisticModel,
    RmsProp,
    Sgd,
    TrainingConfig,
)
from mlcli.errors import ConfigError


def test_no_source_means_the_defaults():
    assert load_experiment(None, environ={}) == ExperimentConfig(backend="torch")


def test_each_source_overrides_the_one_before(load):
    text = "seed: 1\nbackends: {torch: {seed: 2}}\n"
    layers = [
        ("seed: 1\n", {}, {}, (), 1),
        (text, {}, {}, (), 2),
        (text, {"MLCLI_SEED": "3"}, {}, (), 3),
        (text, {"MLCLI_SEED": "3"}, {"seed": 4}, (), 4),
        (text, {"MLCLI_SEED": "3"}, {"seed": 4}, ("seed=5",), 5),
        (text, {"MLCLI_SEED": "3"}, {"seed": 4}, ("seed=5", "seed=6"), 6),
    ]
    for yaml, environ, flags, settings, seed in layers:
        assert load(yaml, environ=environ, flags=flags, settings=settings).seed == seed


def test_settings_without_a_name_belong_to_the_default_of_the_engine(load):
    assert load("optimizer: {lr: 0.5}\n").optimizer == Adam(lr=0.5)
    assert load("model: logistic\noptimizer: {max_iter: 5}\nbackend: sklearn\n").optimizer == Lbfgs(max_iter=5)


BACKENDS = """
model: logistic
backends:
  sklearn: {optimizer: {name: lbfgs, max_iter: 7}}
  keras: {optimizer: {name: sgd, lr: 0.5}, training: {epochs: 3}}
  torch:
"""


def test_the_engine_comes_from_flag_environment_file_or_backends_in_this_order(load):
    assert load("seed: 1\n").backend == "torch"
    assert load(BACKENDS).backend == "sklearn"
    assert load(BACKENDS + "backend: keras\n").backend == "keras"
    assert load(BACKENDS + "backend: keras\n", environ={"MLCLI_BACKEND": "torch"}).backend == "torch"
    assert load(BACKENDS, environ={"MLCLI_BACKEND": "torch"}, flags={"backend": "keras"}).backend == "keras"
    assert load(BACKENDS, flags={"backend": "keras"}, settings=["backend=torch"]).backend == "torch"


def test_the_entry_of_the_engine_is_merged_and_the_result_has_no_backends(load):
    config = load(BACKENDS, flags={"backend": "keras", "optimizer.lr": 0.25})
    assert config == ExperimentConfig(
        backend="keras", model=LogisticModel(), optimizer=Sgd(lr=0.25), training=TrainingConfig(epochs=3)
    )
    assert config.backends == {}
    assert load(BACKENDS, flags={"backend": "torch"}).optimizer is None


def test_an_engine_without_an_entry_runs_on_the_common_settings(load):
    assert load("backends: {keras: {seed: 5}}\nseed: 1\n", flags={"backend": "torch"}).seed == 1


def test_entries_can_be_set_from_the_command_line(load):
    settings = ["backends.keras.optimizer=adam"]
    assert load(BACKENDS, flags={"backend": "keras"}, settings=settings).optimizer == Adam()


def test_named_backends_in_the_order_of_the_file(load):
    load(BACKENDS)
    assert read_layers(Path("x.yaml"), {}).backends() == ("sklearn", "keras", "torch")
    load("backend: keras\n")
    assert read_layers(Path("x.yaml"), {}).backends() == ("keras",)


def test_a_resolved_configuration_can_be_hashed_and_not_changed(load):
    text = "model: {name: estimator, estimator: SVC, parameters: {class_weight: {0: 1.0}, a: [1]}}\n"
    config = load(text)
    assert len({config, load(text)}) == 1
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1
    assert isinstance(config.model, EstimatorModel)
    with pytest.raises(TypeError, match="cannot change"):
        config.model.parameters["a"] = 2


def test_a_resolved_configuration_loads_back_unchanged(load):
    config = load(
        BACKENDS, flags={"backend": "keras"}, settings=["name=a1e5", "optimizer.lr=1e-7", "runtime.threads=2"]
    )
    assert load(to_yaml(config)) == config


def test_loading_a_configuration_imports_no_numpy():
    code = (
        "import sys; from mlcli.config.dump import to_yaml; from mlcli.config.experiment import load_experiment; "
        "to_yaml(load_experiment(None, environ={})); "
        "print([name for name in ('numpy', 'torch', 'sklearn', 'keras', 'typer', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write files into the working directory and load the last one."""
    monkeypatch.chdir(tmp_path)

    def load_last(**texts):
        for name, text in texts.items():
            path = Path(name.replace("__", "/") + ".yaml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return load_experiment(path, environ={})

    return load_last


def issues_of_files(files, **texts):
    with pytest.raises(ConfigError) as error:
        files(**texts)
    return list(error.value.issues)


def test_a_file_overrides_the_one_it_extends(files):
    config = files(
        base="seed: 1\ntraining: {epochs: 3, batch_size: 8}\noptimizer: {name: rmsprop, decay: 0.5}\n",
        x="extends: base.yaml\ntraining: {epochs: 5}\noptimizer: sgd\n",
    )
    assert (config.seed, config.training.epochs, config.training.batch_size) == (1, 5, 8)
    assert config.optimizer == Sgd()


def test_later_files_of_a_list_override_earlier_ones(files):
    config = files(a="seed: 1\nname: a\n", b="seed: 2\n", x="extends: [a.yaml, b.yaml]\n")
    assert (config.seed, config.name) == (2, "a")


def test_paths_are_relative_to_the_file_that_names_them(files):
    assert files(base="seed: 3\n", sub__mid="extends: ../base.yaml\n", x="extends: sub/mid.yaml\n").seed == 3


def test_entries_of_engines_merge_by_the_same_rules(files):
    base = "backends: {torch: {optimizer: {name: rmsprop, decay: 0.5}, seed: 4}}\n"
    config = files(base=base, x="extends: base.yaml\nbackends: {torch: {optimizer: adam}}\n")
    assert (config.optimizer, config.seed) == (Adam(), 4)
    config = files(base=base, x="extends: base.yaml\nbackends:\n  torch:\n")
    assert config.optimizer == RmsProp(decay=0.5)


def test_a_diamond_is_no_circle(files):
    assert (
        files(
            root="seed: 9\n", a="extends: root.yaml\n", b="extends: root.yaml\n", x="extends: [a.yaml, b.yaml]\n"
        ).seed
        == 9
    )


def test_issues_name_the_file_that_has_them(files):
    assert issues_of_files(files, base="optimizer:\n  lr: -1\n", x="extends: base.yaml\nsede: 1\n") == [
        "base.yaml:2:7: optimizer.lr: must be greater than 0, got -1",
        "x.yaml:2:1: sede: unknown key (did you mean 'seed'?)",
    ]


@pytest.mark.parametrize(
    ("extends", "issue"),
    [
        ("x.yaml", "files extend one another in a circle: x.yaml -> x.yaml"),
        ("nope.yaml", "no such file: 'nope.yaml'"),
        ("/etc/hostname", "must be relative to this file, got '/etc/hostname'"),
        ("5", "must be the path of a file, or a list of paths, got 5"),
        ("null", "must be the path of a file, or a list of paths, got null"),
        ("/dev/zero", "must be relative to this file, got '/dev/zero'"),
        ('"a\\0b"', "must be the path of a file, or a list of paths, got 'a\\x00b'"),
        ('"\\e[31m"', "no such file: '\\x1b[31m'"),
        (".", "no such file: '.'"),
        ("../../../../../../../../../../dev/zero", "no such file: '../../../../../../../../../../dev/zero'"),
        ("x" * 300, f"no such file: '{'x' * 57}...'"),
        (
            "../" * 300_000,
            f"no such file: '{'../' * 19}...'",
        ),  # refused immediately, without resolving the parts one by one
        ("fifo", "no such file: 'fifo'"),
        ("loop", "no such file: 'loop'"),
    ],
)
def test_impossible_files_to_extend_are_refused(files, tmp_path, extends, issue):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    assert issues_of_files(files, x=f"seed: 1\nextends: {extends}\n") == [f"x.yaml:2:10: extends: {issue}"]


def test_a_longer_circle_is_named(files):
    assert issues_of_files(files, a="extends: x.yaml\n", x="extends: a.yaml\n") == [
        "a.yaml:1:10: extends: files extend one another in a circle: x.yaml -> a.yaml -> x.yaml"
    ]


def test_long_chains_and_too_many_files_are_refused(files):
    chain = {f"f{n}": f"extends: f{n - 1}.yaml\n" for n in range(1, 12)}
    assert issues_of_files(files, f0="seed: 1\n", **chain) == [
        "f4.yaml:1:10: extends: more than 8 files in a chain, or 32 in all"
    ]
    crowd = {f"g{n}": "seed: 1\n" for n in range(40)}
    (line,) = issues_of_files(files, **crowd, x=f"extends: [{', '.join(f'{name}.yaml' for name in crowd)}]\n")
    assert line.endswith("extends: more than 8 files in a chain, or 32 in all")


def test_repeated_files_on_every_level_are_read_once(files):
    levels = {f"f{n}": f"extends: [{', '.join([f'f{n - 1}.yaml'] * 50)}]\n" for n in range(1, 7)}
    assert files(f0="seed: 6\n", **levels).seed == 6


@pytest.mark.parametrize("line", ["k{}: 1\n", "k{}: {{a: 1}}\n"])
def test_the_values_of_all_files_are_counted_together(files, line):
    crowd = {f"f{n}": "".join(line.format(f"{n}_{m}") for m in range(2000)) for n in range(6)}
    *_, last = issues_of_files(files, **crowd, x=f"extends: [{', '.join(f'{name}.yaml' for name in crowd)}]\n")
    assert last.endswith(": holds more than 10000 values, aliases expanded and extended files counted")


def test_a_file_that_is_named_again_counts_again(files):
    base = f"model: {{hidden: [{', '.join(['8'] * 1000)}]}}\n"
    assert len(files(base=base, x=f"extends: [{', '.join(['base.yaml'] * 5)}]\n").model.hidden) == 1000
    (line,) = issues_of_files(files, base=base, x=f"extends: [{', '.join(['base.yaml'] * 50)}]\n")
    assert line.endswith(": extends: holds more than 10000 values, aliases expanded and extended files counted")


def test_extends_is_allowed_only_at_the_top_of_a_file(files):
    assert issues_of_files(files, x="backends: {torch: {extends: a.yaml}}\n") == [
        "x.yaml:1:20: backends.torch.extends: cannot differ by engine; write it at the top level"
    ]
    with pytest.raises(ConfigError, match=r"^--set extends=a.yaml: unknown key"):
        load_experiment(None, settings=["extends=a.yaml"], environ={})
