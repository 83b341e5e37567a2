# Vitalflow's commands. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.8

.PHONY: help
help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is newer than the pins when the environment matches them.
.venv/stamp: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Vitalflow needs Python 3.11 or newer; set PYTHON=" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@touch $@

.PHONY: install
install: .venv/stamp ## Create .venv and install the pinned packages.

.PHONY: lock
lock: .venv/stamp ## Compile pyproject.toml's dependencies into requirements/*.txt.
	$(BIN)/uv pip compile --quiet --upgrade $(COMPILE) $(addprefix --extra ,functions status pipeline local test) pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet $(COMPILE) -c requirements/dev.txt --extra functions pyproject.toml -o requirements/functions.txt
	$(BIN)/uv pip compile --quiet $(COMPILE) -c requirements/dev.txt --extra pipeline pyproject.toml -o requirements/pipeline.txt
	$(BIN)/uv pip compile --quiet $(COMPILE) -c requirements/dev.txt --extra status pyproject.toml -o requirements/status.txt
	$(BIN)/uv pip compile --quiet $(COMPILE) -c requirements/dev.txt --extra bench pyproject.toml -o requirements/bench.txt
	$(BIN)/uv pip compile --quiet --upgrade $(COMPILE) requirements/checkov.in -o requirements/checkov.txt
COMPILE := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.PHONY: generate
generate: .venv/stamp ## Write all that follows from schemas/resources/.
	$(BIN)/python -m schemas.generate

.PHONY: check
check: .venv/stamp ## Lint, types and drift of generated files.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m schemas.generate --check

.PHONY: format
format: .venv/stamp ## Format the code and mend what the linter can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: test
test: .venv/stamp ## Run all tests but the chaos tests.
	$(BIN)/pytest --ignore=tests/chaos $(TESTS)

# Apart: they wait for real deadlines and redeliveries, and on a busy machine the clock decides.
.PHONY: chaos
chaos: .venv/stamp ## Run the tests that break things: outages, kills, lying answers (some five minutes).
	$(BIN)/pytest tests/chaos $(TESTS)

.PHONY: abuse
abuse: .venv/stamp ## Run the abuse tests with 10,000 requests made from the API's description (some ten minutes).
	VITALFLOW_OPENAPI_CASES=10000 $(BIN)/pytest tests/abuse $(TESTS)

# What only the benchmark needs comes on top of the environment and goes with the next change of its pins.
.venv/bench: .venv/stamp requirements/bench.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.txt
	@touch $@

.PHONY: bench
bench: .venv/bench ## Measure CPU per record beside its peers, growth and start-up (some ten minutes; an idle machine).
	$(BIN)/python -m benchmarks $(BENCH)

.PHONY: soak
soak: .venv/bench ## Ten minutes of mixed traffic with a fault every 20 s, then reconcile.
	$(BIN)/python -m benchmarks.soak $(SOAK)

.PHONY: demo
demo: .venv/stamp ## Tour of the whole system on this machine.
	@$(BIN)/python -m emulators demo

.PHONY: up
up: .venv/stamp ## Run the embedded stack until Ctrl-C (PERSIST=1 keeps its state, PORT=… sets the endpoint's port).
	@$(BIN)/python -m emulators up

.PHONY: down
down: .venv/stamp ## End the stack that `make up` runs in this folder.
	@$(BIN)/python -m emulators down
