# The menu of the project. `make demo` and `make test` need Python 3.11+, make and a package index.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help install demo test quick lint format proto mlserver bench verify-statistics clean

help:  ## this text
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 28

# One stamp: made again when the requirements change. torch comes with netcal, never after it, so that
# the pinned build is the one that is taken.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25"
	@$(PIP) --editable ".[training,dev]"
	@touch $@

install: $(VENV)/.installed  ## create .venv and install everything

demo: install  ## watch the main job, end to end, on real data
	@$(BIN)/python -m training demo

# Each process has servers of its own, so they share out runs of neighbours and not single tests.
test: install  ## run all tests, on all cores
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

quick: install  ## ruff on what changed, and the tests that start nothing, with fewer examples
	@git diff --name-only --diff-filter=d HEAD -- '*.py' | xargs --no-run-if-empty $(BIN)/ruff check
	@git diff --name-only --diff-filter=d HEAD -- '*.py' | xargs --no-run-if-empty $(BIN)/ruff format --check
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal \
		--ignore tests/helm --ignore tests/loop --ignore tests/sidecar/running \
		--hypothesis-profile quick -m "not process and not slow"

lint: install  ## ruff, mypy --strict, import contracts, fresh generated code, buf where node is
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.proto check
	@if command -v npx >/dev/null; then npx --yes @bufbuild/buf@1.75.0 lint && echo "buf: clean"; \
	else echo "buf: SKIPPED, node is not installed"; fi

format: install  ## rewrite the code in the house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

proto: install  ## regenerate proto/gen/python from proto/trueband/v1
	@$(BIN)/python -m tests.proto write

mlserver:  ## a real Open Inference Protocol server for the tests, in an environment of its own
	@test -x $(VENV)-mlserver/bin/python || $(PYTHON) -m venv $(VENV)-mlserver
	@$(VENV)-mlserver/bin/pip install --quiet --disable-pip-version-check mlserver==1.7.1

bench: install  ## measure, as ratios within one run (never part of the tests)
	@$(BIN)/python -m tests.benchmarks

verify-statistics: install  ## check the numbers that the statistics of the loop must reach (at most 10 minutes)
	@$(BIN)/python -m tests.statistics

clean:  ## remove what the targets made
	rm -rf $(VENV) $(VENV)-mlserver demo bench .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
