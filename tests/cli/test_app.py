"""How the application reports errors: messages, tracebacks and exit codes."""

from __future__ import annotations

import pytest

UNKNOWN_RUN = ("evaluate", "no-such-run")


def test_an_error_is_a_message_without_a_traceback(cli):
    process = cli(*UNKNOWN_RUN)
    assert process.returncode == 2
    assert process.stderr.startswith("mlcli: no run 'no-such-run'")
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("arguments", [("--debug", *UNKNOWN_RUN), (*UNKNOWN_RUN, "--debug")])
def test_debug_shows_the_traceback_before_and_after_the_command(cli, arguments):
    process = cli(*arguments)
    assert process.returncode == 2
    assert "Traceback" in process.stderr
    assert "mlcli: no run 'no-such-run'" in process.stderr


@pytest.mark.parametrize("group", ["config", "data", "runs"])
def test_every_command_of_a_group_accepts_debug(cli, group):
    arguments = {"config": ("show", "no.yaml"), "data": ("verify", "no"), "runs": ("show", "no")}[group]
    assert "Traceback" in cli(group, *arguments, "--debug").stderr
    assert "Traceback" not in cli(group, *arguments).stderr


def test_debug_as_the_value_of_an_option_does_not_switch_it_on(cli):
    process = cli("train", "--name", "--debug", "--dry-run")
    assert process.returncode == 2
    assert "Traceback" not in process.stderr


def test_an_unknown_command_names_the_nearest_and_the_help(cli):
    process = cli("trian")
    assert process.returncode == 2
    first, second = process.stderr.splitlines()
    assert first == "mlcli: No such command 'trian'. Did you mean 'train'?"
    assert second.endswith("mlcli --help")


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_one_line(cli, flag):
    assert cli(flag).stdout.startswith("mlcli 0.")


def test_debug_leaves_the_reasons_of_failed_cells_as_they_are(cli):
    settings = ("--set", "dataset=iris", "--set", "optimizer.lr=1e30", "--set", "training.epochs=3")
    process = cli("--debug", "compare", "-b", "torch,sklearn", "--seeds", 1, "--set", "optimizer=sgd", *settings)
    assert process.returncode == 6
    assert "the run diverged" in process.stdout
