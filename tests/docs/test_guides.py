"""The examples of the guides, the pages that train most, do what the pages show; see test_examples.py."""

from __future__ import annotations

from tests.fixtures.examples import examples

GUIDES = ("docs/metrics.md", "docs/own_data.md", "docs/reliability.md", "docs/statistics.md", "docs/tutorial.md")


@examples(GUIDES)
def test_an_example_works_as_the_page_shows(step, run_example):
    run_example(step)
