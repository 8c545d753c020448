"""The help of every command: examples that parse, and options that mean the same and stand in the same group."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from mlcli.cli.app import app

ROOT = typer.main.get_command(app)


def _commands(group, path=()):
    for name, command in group.commands.items():
        yield from _commands(command, (*path, name)) if hasattr(command, "commands") else [((*path, name), command)]


COMMANDS = {" ".join(path): command for path, command in _commands(ROOT)}
# Flags that mean something else: filters, and the samples of a prediction step instead of a training step.
_OTHERS = {
    "runs list": ("--backend", "--dataset", "--name", "--limit"),
    "evaluate": ("--batch-size",),
    "predict": ("--batch-size",),
    "batch-bench": ("--repeats",),
}


def _examples(command):
    _, found, section = command.help.partition("Examples:\n")
    return [line.strip().replace("\\[", "[") for line in section.splitlines() if line.strip()] if found else []


def _options(command):
    return [one for one in command.params if isinstance(one, typer.core.TyperOption) and not one.hidden]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_parse(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _examples(COMMANDS[name])
    for example in _examples(COMMANDS[name]):
        program, *words = shlex.split(example.partition(" > ")[0])
        path = name.split()
        assert (program, words[: len(path)]) == ("mlcli", path)
        COMMANDS[name].make_context(name, words[len(path) :])  # raises what the command line would refuse


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_can_be_copied_from_a_terminal_of_80_columns_into_any_shell(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    lines = [line.strip() for line in CliRunner().invoke(app, [*name.split(), "--help"]).output.splitlines()]
    for example in _examples(COMMANDS[name]):
        assert example in lines, "wrapped"
        assert not re.search(r"--set [^' ]*[\[*?]", example), "zsh takes brackets for a pattern: quote them"


def test_a_flag_has_one_group_and_the_same_short_form_everywhere():
    uses: dict[str, set[object]] = {}
    for name, command in COMMANDS.items():
        for one in _options(command):
            flag = one.opts[0]
            if flag not in _OTHERS.get(name, ()):
                uses.setdefault(flag, set()).add((one.rich_help_panel, *one.opts))
    assert {flag: used for flag, used in uses.items() if len(used) > 1} == {}
    assert [flag for flag, used in uses.items() for panel, *_ in used if panel is None and flag != "--help"] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_groups_stand_in_one_order(name):
    ranks = {"Experiment": 0, "Execution": 2, "Output": 3}  # groups of single commands stand between
    order = [ranks.get(one.rich_help_panel, 1) for one in _options(COMMANDS[name]) if one.rich_help_panel]
    assert order == sorted(order)


def test_every_command_with_an_output_has_force():
    for name, command in COMMANDS.items():
        flags = {flag for one in _options(command) for flag in one.opts}
        writes = flags & {"--output", "--save-plots"}
        assert bool(writes) == ("--force" in flags), name


def test_several_engines_are_named_by_the_flag_that_names_one():
    assert not [name for name, command in COMMANDS.items() for one in _options(command) if "--backends" in one.opts]


def test_every_command_can_be_quiet():
    assert [
        name for name, command in COMMANDS.items() if "--quiet" not in {one.opts[0] for one in _options(command)}
    ] == []
