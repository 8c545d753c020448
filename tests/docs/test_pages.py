"""What holds for every page: links and names lead somewhere, and the README stays short."""

from __future__ import annotations

import re
import tomllib

import pytest
import typer

from mlcli.cli.app import app
from tests.fixtures.pages import PAGES, ROOT, prose, read

ALL_PAGES = (*PAGES, "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
CLI = typer.main.get_command(app)
# Of other programs.
_OTHER_FLAGS = {"--help", "--no-deps", "--system-site-packages", "--signal", "--cpus-per-task", "--user"}
_HISTORY = "CHANGELOG.md"  # names options that do not exist any more


def _commands(group, path=()):
    for name, command in group.commands.items():
        yield from (
            _commands(command, (*path, name)) if hasattr(command, "commands") else [(" ".join((*path, name)), command)]
        )


COMMANDS = dict(_commands(CLI))
FLAGS = {flag for command in (CLI, *COMMANDS.values()) for one in command.params for flag in one.opts}


def _anchors(page):
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _links(page):
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if not link.startswith("https://")]


@pytest.mark.parametrize("page", ALL_PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for link in _links(page):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target.resolve().relative_to(ROOT)), link


def test_the_readme_is_short_and_leads_to_every_page():
    assert len(read("README.md").splitlines()) <= 200
    assert {link.partition("#")[0] for link in _links("README.md")} >= {page for page in PAGES if page != "README.md"}


@pytest.mark.parametrize("page", ALL_PAGES)
def test_every_named_file_of_the_repository_exists(page):
    for path in re.findall(r"`((?:mlcli|tests|configs|docs)/[\w/.-]+)`", prose(page)):
        if "/a/" not in path:  # the example of how tests mirror the package
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", [page for page in ALL_PAGES if page != _HISTORY])
def test_every_named_option_and_command_exists(page):
    code = re.findall(r"`([^`]+)`", prose(page))
    flags = {flag for text in code for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)}
    assert flags - FLAGS - _OTHER_FLAGS == set()
    for text in code:
        words = re.match(r"mlcli ([a-z][a-z-]*)(?: ([a-z]+))?", text)
        if words:
            assert words[1] in COMMANDS or f"{words[1]} {words[2]}" in COMMANDS or words[1] in CLI.commands, text


@pytest.mark.parametrize("page", PAGES)
def test_every_optional_feature_that_is_named_exists(page):
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    named = re.findall(r"(?:\.|mlcli)\[(\w+)\]", read(page))
    assert set(named) <= set(extras)
