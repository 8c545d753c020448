# Every target installs what it needs into $(VENV), once. ARGS go to the program that a target runs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.bench-installed
SOAK_STAMP := $(VENV)/.soak-installed
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help train evaluate compare demo test lint format bench accuracy soak clean

help: ## Show the targets and their variables
	@sed -n -e 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' -e 's/^## \?//p' $(MAKEFILE_LIST) | expand -t 18

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

comma := ,
EXPERIMENT = $(or $(CONFIG),$(if $(DATASET)$(MODEL),,digits_mlp))
ENGINES = $(or $(BACKEND),$(if $(CONFIG),,sklearn$(comma)torch$(comma)keras))
option = $(if $($(1)),--$(2) $($(1)))
setting = $(if $($(1)),--set $(2)=$($(1)))

train: $(STAMP) ## Train a small network on embedded data, or what the variables name
	$(BIN)/mlcli train $(strip $(EXPERIMENT) $(call option,BACKEND,backend) $(call option,DATASET,dataset) \
	$(call option,MODEL,model) $(call option,OPTIMIZER,optimizer) $(call option,LR,lr) $(call option,EPOCHS,epochs) \
	$(call option,SEED,seed) $(ARGS))

compare: $(STAMP) ## Compare all three engines on the digits, or what the variables name
	$(BIN)/mlcli compare $(strip $(EXPERIMENT) $(call option,ENGINES,backend) \
	--seeds $(or $(SEEDS),3) $(call setting,DATASET,dataset) $(call setting,MODEL,model) \
	$(call setting,OPTIMIZER,optimizer) $(call setting,LR,optimizer.lr) $(call setting,EPOCHS,training.epochs) \
	$(call setting,SEED,seed) $(ARGS))

evaluate: $(STAMP) ## Evaluate the last run, or RUN
	$(BIN)/mlcli evaluate $(strip $(or $(RUN),last) $(call option,BACKEND,backend) $(ARGS))

demo: compare ## The same as make compare

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

# The end of `make help`.
##
## Variables of train, compare and evaluate; each one that is set becomes an option:
##   make train BACKEND=keras DATASET=fashion EPOCHS=2
##   make compare CONFIG=iris_logistic BACKEND=sklearn,torch SEEDS=5
##   make evaluate RUN=last
##
##   CONFIG    a shipped configuration or a YAML file; else digits_mlp, or with DATASET or MODEL none
##   BACKEND   sklearn, torch or keras; for compare one or several
##   DATASET, MODEL, OPTIMIZER, LR, EPOCHS, SEED
##   SEEDS     of compare: a number of seeds, or a list
##   RUN       of evaluate
##   ARGS      any other options; also of test, bench, accuracy and soak
