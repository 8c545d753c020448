# Every target installs what it needs into $(VENV), once.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.bench-installed
SOAK_STAMP := $(VENV)/.soak-installed
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help train demo test lint format bench accuracy soak clean

help: ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

# torch is installed first: if a CPU build of the pinned version is available, no CUDA packages follow.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# Libraries that mlcli is benchmarked against.
$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

train: $(STAMP) ## Train a small network on embedded data (digits, PyTorch)
	$(BIN)/mlcli train configs/digits_mlp.yaml --backend torch

demo: $(STAMP) ## Compare all three engines on the digits, three seeds each
	$(BIN)/mlcli compare configs/digits_mlp.yaml --backend sklearn,torch,keras --seeds 3

# Two test files run in parallel; the tests of one file share fixtures and stay together. ARGS go to pytest.
test: $(STAMP) ## Run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(STAMP) ## Check style, types and import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# ARGS go to the script, e.g. make bench ARGS="--only torch --json bench.json"
bench: $(BENCH_STAMP) ## Measure speed and memory relative to hand-written code
	$(BIN)/python tests/benchmarks/run.py $(ARGS)

accuracy: $(STAMP) ## Train the shipped configs in full and check their accuracy
	$(BIN)/python tests/benchmarks/accuracy.py $(ARGS)

# The fuzzer.
$(SOAK_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[soak]'
	@touch $@

# e.g. make soak ARGS="--only kills --kills 50"
soak: $(SOAK_STAMP) ## Long-running fuzz, kill and start-up tests
	$(BIN)/python tests/soak/run.py $(ARGS)

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
