# Every target sets up .venv by itself. Needs python3 >= 3.11 with ensurepip (Debian: python3-venv) and make.
PYTHON ?= python3
BIN := .venv/bin
COMPILED := .venv-compiled/bin
STAMP := .venv/.installed
SEEDS ?= 20000

# These tests own no socket and no clock, so that they can share the processors.
PURE := tests/property tests/simulation tests/unit/core tests/unit/simulation tests/unit/wire
PURE_COMPILED := $(PURE) tests/unit/test_inside.py
NETS_COMPILED := tests/security tests/unit/zeromq \
    $(addprefix tests/integration/test_,blocking.py closing.py draining.py failover.py forgotten_nodes.py \
    handler_contexts.py handler_deadlines.py handlers.py node.py node_life.py reach.py rogue_handlers.py)

# With a C compiler, benchmarks are run on compiled code.
COMPILER ?= $(shell command -v cc)
BENCHED := $(if $(COMPILER),.venv-compiled,.venv)

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types layers compiled test-compiled simulate bench bench-guard faults promises attack docs docs-tables format clean

help: ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort

demo: $(STAMP) ## three brokers, workers and clients; brokers are killed with kill -9; nothing is lost
	$(BIN)/braidmq demo

test: $(STAMP) ## all tests
	$(BIN)/python -m pytest -n auto --dist worksteal $(PURE)
	$(BIN)/python -m pytest $(PURE:%=--ignore=%)

check: lint types layers test ## what every commit passes

compiled: .venv-compiled/.installed ## BraidMQ with compiled cores and node loop, in .venv-compiled; needs a C compiler

test-compiled: compiled ## the tests of the cores and of nets, on what is compiled
	$(COMPILED)/python -m pytest -p no:cacheprovider -n auto --dist worksteal $(PURE_COMPILED)
	$(COMPILED)/python -m pytest -p no:cacheprovider $(NETS_COMPILED)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

simulate: $(STAMP) ## 20,000 simulated nets with faults; SEEDS=N for another number
	$(BIN)/braidmq simulate --seeds $(SEEDS)

bench: $(BENCHED)/.installed$(if $(COMPILER),,-bench) ## an echo over BraidMQ and over its rivals; BENCH="--quick" for less, COMPILER= for interpreted code
	$(BENCHED)/bin/braidmq bench $(BENCH)

bench-guard: $(STAMP) ## instructions that the cores take for each exchange, against the recorded ones; needs valgrind
	$(BIN)/python -m bench.guard $(GUARD)

faults: $(STAMP) ## every fault of the matrix on real processes; hours. FAULTS="--quick kill-broker" for less
	$(BIN)/python -m faults $(FAULTS)

promises: $(STAMP) ## what is promised, tried on real processes; about an hour. PROMISES="--runs 1 second-run-kill-broker" for less
	$(BIN)/python -m faults.promises $(PROMISES)

attack: $(STAMP) ## attacks on real processes beside an honest load, and the report; an hour and a half. ATTACK="--quick paths-busy" for less
	$(BIN)/python -m attacks $(ATTACK)

docs: .venv/.installed-docs ## the documents as a web site, in site/
	$(BIN)/mkdocs build --quiet --strict

docs-tables: $(STAMP) ## write the tables of the documents that repeat the source
	$(BIN)/python docs/tables.py

format: $(STAMP) ## rewrite the sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/.installed-docs: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

.venv/.installed-bench: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

# The build changes the directory that it happens in, so it gets a copy.
.venv-compiled/.installed: pyproject.toml $(shell find src -name '*.py')
	rm -rf build && mkdir -p build/source
	cp -R pyproject.toml README.md LICENSE src build/source
	$(PYTHON) -m venv .venv-compiled
	HATCH_BUILD_HOOK_ENABLE_MYPYC=true \
	    $(COMPILED)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build build/source
	$(COMPILED)/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps build/*.whl
	$(COMPILED)/pip install --quiet --disable-pip-version-check "$$(ls build/*.whl)[bench,dev]"
	@touch $@

clean: ## remove what the targets made
	rm -rf .venv .venv-compiled build site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	    || { echo 'BraidMQ needs Python 3.11 or newer: apt install python3 python3-venv, or make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo 'Python has no ensurepip: apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
