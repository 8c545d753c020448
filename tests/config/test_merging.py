"""Files that build on others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlcli.config.experiment import load_experiment
from mlcli.config.schema import Adam, ExperimentConfig, RmsProp, Sgd
from mlcli.errors import ConfigError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write files into the working directory and load the last one."""
    monkeypatch.chdir(tmp_path)

    def load_last(**texts: str) -> ExperimentConfig:
        for name, text in texts.items():
            path = Path(name.replace("__", "/") + ".yaml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return load_experiment(path, environ={})

    return load_last


def faults_of(files, **texts: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        files(**texts)
    return list(error.value.issues)


def test_a_file_lies_over_the_one_it_extends(files) -> None:
    config = files(
        base="seed: 1\ntraining: {epochs: 3, batch_size: 8}\noptimizer: {name: rmsprop, decay: 0.5}\n",
        x="extends: base.yaml\ntraining: {epochs: 5}\noptimizer: sgd\n",
    )
    assert (config.seed, config.training.epochs, config.training.batch_size) == (1, 5, 8)
    assert config.optimizer == Sgd()


def test_a_list_composes_from_left_to_right(files) -> None:
    config = files(a="seed: 1\nname: a\n", b="seed: 2\n", x="extends: [a.yaml, b.yaml]\n")
    assert (config.seed, config.name) == (2, "a")


def test_paths_are_relative_to_the_file_that_names_them(files) -> None:
    assert files(base="seed: 3\n", sub__mid="extends: ../base.yaml\n", x="extends: sub/mid.yaml\n").seed == 3


def test_entries_of_engines_merge_by_the_same_rules(files) -> None:
    base = "backends: {torch: {optimizer: {name: rmsprop, decay: 0.5}, seed: 4}}\n"
    config = files(base=base, x="extends: base.yaml\nbackends: {torch: {optimizer: adam}}\n")
    assert (config.optimizer, config.seed) == (Adam(), 4)
    config = files(base=base, x="extends: base.yaml\nbackends:\n  torch:\n")
    assert config.optimizer == RmsProp(decay=0.5)


def test_a_diamond_is_no_circle(files) -> None:
    assert (
        files(
            root="seed: 9\n", a="extends: root.yaml\n", b="extends: root.yaml\n", x="extends: [a.yaml, b.yaml]\n"
        ).seed
        == 9
    )


def test_faults_are_placed_in_the_file_that_has_them(files) -> None:
    assert faults_of(files, base="optimizer:\n  lr: -1\n", x="extends: base.yaml\nsede: 1\n") == [
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
        ("../" * 300_000, f"no such file: '{'../' * 19}...'"),  # at once: nothing may take its parts one by one
        ("fifo", "no such file: 'fifo'"),
        ("loop", "no such file: 'loop'"),
    ],
)
def test_what_cannot_be_extended(files, tmp_path: Path, extends: str, issue: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    assert faults_of(files, x=f"seed: 1\nextends: {extends}\n") == [f"x.yaml:2:10: extends: {issue}"]


def test_a_longer_circle_is_named(files) -> None:
    assert faults_of(files, a="extends: x.yaml\n", x="extends: a.yaml\n") == [
        "a.yaml:1:10: extends: files extend one another in a circle: x.yaml -> a.yaml -> x.yaml"
    ]


def test_long_chains_and_crowds_are_refused(files) -> None:
    chain = {f"f{n}": f"extends: f{n - 1}.yaml\n" for n in range(1, 12)}
    assert faults_of(files, f0="seed: 1\n", **chain) == [
        "f4.yaml:1:10: extends: more than 8 files in a chain, or 32 in all"
    ]
    crowd = {f"g{n}": "seed: 1\n" for n in range(40)}
    (line,) = faults_of(files, **crowd, x=f"extends: [{', '.join(f'{name}.yaml' for name in crowd)}]\n")
    assert line.endswith("extends: more than 8 files in a chain, or 32 in all")


def test_every_level_may_fan_out_without_an_explosion(files) -> None:
    levels = {f"f{n}": f"extends: [{', '.join([f'f{n - 1}.yaml'] * 50)}]\n" for n in range(1, 7)}
    assert files(f0="seed: 6\n", **levels).seed == 6


@pytest.mark.parametrize("line", ["k{}: 1\n", "k{}: {{a: 1}}\n"])
def test_the_values_of_all_files_are_counted_together(files, line: str) -> None:
    crowd = {f"f{n}": "".join(line.format(f"{n}_{m}") for m in range(2000)) for n in range(6)}
    *_, last = faults_of(files, **crowd, x=f"extends: [{', '.join(f'{name}.yaml' for name in crowd)}]\n")
    assert last.endswith(": holds more than 10000 values, aliases expanded and extended files counted")


def test_a_file_that_is_named_again_counts_again(files) -> None:
    base = f"model: {{hidden: [{', '.join(['8'] * 1000)}]}}\n"
    assert len(files(base=base, x=f"extends: [{', '.join(['base.yaml'] * 5)}]\n").model.hidden) == 1000
    (line,) = faults_of(files, base=base, x=f"extends: [{', '.join(['base.yaml'] * 50)}]\n")
    assert line.endswith(": extends: holds more than 10000 values, aliases expanded and extended files counted")


def test_extends_belongs_into_files(files) -> None:
    assert faults_of(files, x="backends: {torch: {extends: a.yaml}}\n") == [
        "x.yaml:1:20: backends.torch.extends: cannot differ by engine; write it at the top level"
    ]
    with pytest.raises(ConfigError, match=r"^--set extends=a.yaml: unknown key"):
        load_experiment(None, settings=["extends=a.yaml"], environ={})
