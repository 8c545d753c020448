"""Command options are collected in a request with the defaults of its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from typer.testing import CliRunner

from mlcli.cli import options
from mlcli.cli.options import Commands, command


@dataclass(frozen=True)
class Request:
    size: int
    flags: Mapping[str, object] = field(default_factory=dict)
    settings: Sequence[str] = ()
    threads: int | None = None
    quiet: bool = False


@pytest.fixture
def call():
    requests = []
    app = Commands()
    app.command("go")(
        command(
            """Do it.""",
            requests.append,
            Request,
            size=Annotated[int, options.execution("--size", min=1)],
            seed=options.Seed,
            deterministic=Annotated[bool, options.execution("--deterministic")],
            settings=options.Settings,
            threads=options.Threads,
            quiet=options.Quiet,
        )
    )

    def call_with(*arguments):
        outcome = CliRunner().invoke(app, [*arguments])
        return requests.pop() if outcome.exit_code == 0 else outcome

    return call_with


def test_options_that_are_not_given_keep_the_defaults_of_the_request(call):
    assert call("--size", "3") == Request(3)


def test_fields_and_configuration_keys_are_told_apart(call):
    request = call("--size", "3", "--seed", "0", "--deterministic", "--threads", "2", "--set", "a=1", "--set", "b=2")
    assert request.flags == {"seed": 0, "runtime.deterministic": True}
    assert (request.threads, list(request.settings)) == (2, ["a=1", "b=2"])


def test_a_field_without_default_is_required(call):
    assert call().exit_code == 2


def test_an_option_that_sets_nothing_is_an_error_of_the_program():
    with pytest.raises(KeyError, match="unknown"):
        command("", print, Request, unknown=options.Seed)
