# Every target sets up .venv by itself. Needs python3 >= 3.11 with ensurepip (Debian: python3-venv) and make.
# With PYTHON=python3.12, or the path of another one, everything is done in .venv-3.12 instead.
PYTHON ?= python3
ifeq ($(origin PYTHON),file)
VENV := .venv
else
VENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2] + sys.abiflags)')
endif
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COMPILED_VENV := $(VENV)-compiled
COMPILED := $(COMPILED_VENV)/bin
BUILD := build/$(COMPILED_VENV:.%=%)
QUIET := --quiet --disable-pip-version-check
LOCKED := $(QUIET) --require-hashes --requirement
LOCK := build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
    --no-emit-index-url --custom-compile-command 'make lock'
SEEDS ?= 20000
FUZZ ?= 60

# The tests start a thousand processes: without its byte code each takes twice as long to begin.
unexport PYTHONDONTWRITEBYTECODE

# Tests of nets own sockets and processes, and wait more than they compute: so there are three side by side on two
# processors. Those that take long come first. Some have the machine to themselves, as they measure it or look for its ports.
UNITS_OF_NETS := $(addprefix tests/unit/,carrier host lab/demo lab/processes test_guide.py test_recipes.py test_testing.py)
ALONE := tests/unit/carrier/test_listening.py $(addprefix tests/integration/test_,attacks.py fault_matrix.py memory.py)
LONG := tests/browser $(addprefix tests/integration/test_,faults.py demo.py promises.py bench.py membership.py cli_streams.py pages.py)
CALM := tests/property tests/simulation tests/stories tests/unit $(UNITS_OF_NETS:%=--ignore=%)
NETS := $(LONG) tests/security $(filter-out $(LONG) $(ALONE),$(wildcard tests/integration/test_*.py)) $(UNITS_OF_NETS) \
    $(ALONE:%=--ignore=%)
PURE := tests/property tests/simulation tests/unit/core tests/unit/lab/simulation tests/unit/wire tests/unit/zmtp
PURE_COMPILED := $(PURE) tests/unit/carrier/test_outbox.py tests/unit/test_compiled.py tests/unit/test_inside.py
NETS_COMPILED := tests/security tests/unit/carrier \
    $(addprefix tests/integration/test_,blocking.py closing.py draining.py failover.py forgotten_nodes.py \
    handler_contexts.py handler_deadlines.py handler_starts.py handlers.py libzmq_peers.py node.py node_life.py \
    old_libzmq_peers.py reach.py rogue_handlers.py)

# `make nightly` selects all.
SELECT ?= not nightly
PYTEST := -m pytest -m "$(SELECT)"
# One that hangs ends its process: hypothesis would take an error for a finding, and run it again to make it smaller.
EACH := -n auto --dist worksteal --timeout-method thread
FILES := -n 2 --dist loadfile
MANY_FILES := -n 3 --dist loadfile --no-loadscope-reorder

# With a C compiler, benchmarks are run on compiled code.
COMPILER ?= $(shell command -v cc)
BENCHED := $(if $(COMPILER),$(COMPILED_VENV),$(VENV))

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types layers compiled test-compiled coverage nightly simulate bench bench-guard fuzz faults promises attack docs stories docs-tables old-libzmq lock dist release format clean

help: ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort

demo: $(STAMP) ## three brokers, workers and clients; brokers are killed with kill -9; nothing is lost
	$(BIN)/braidmq demo

test: $(STAMP) ## the tests that every commit passes; PYTHON=python3.12 for another Python, in a .venv-3.12
	$(BIN)/python $(PYTEST) $(EACH) $(CALM)
	$(BIN)/python $(PYTEST) $(MANY_FILES) $(NETS)
	$(BIN)/python $(PYTEST) $(ALONE)

coverage: $(STAMP) ## the unit tests, and what they do not reach; fails below the floor
	$(BIN)/python $(PYTEST) $(FILES) --cov tests/unit

test-3.%: # the tests on a version of Python that is somewhere on this machine
	@python=$$($(PYTHON) tools/pythons.py 3.$*) && $(MAKE) PYTHON="$$python" .venv-3.$*/.installed-bench test

nightly: $(VENV)/.installed-bench ## all tests on each Python, the long matrices, and a table at the end; hours. NIGHTLY="test-3.12 simulate" for less
	$(BIN)/python -m tools.nightly $(NIGHTLY)

check: lint types layers test ## what every commit passes

compiled: $(COMPILED_VENV)/.installed ## BraidMQ with compiled cores and node loop, in .venv-compiled; needs a C compiler

test-compiled: compiled ## the tests of the cores and of nets, on what is compiled
	$(COMPILED)/python $(PYTEST) -p no:cacheprovider $(EACH) $(PURE_COMPILED)
	$(COMPILED)/python $(PYTEST) -p no:cacheprovider $(NETS_COMPILED)

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

bench-guard: $(STAMP) ## instructions that cores and turns take for each exchange, against the recorded ones; needs valgrind
	$(BIN)/python -m bench.guard $(GUARD)

fuzz: $(VENV)/.installed-fuzz ## atheris against all that reads the bytes of others, each for FUZZ=SECONDS. What it finds is in build/fuzz/
	$(BIN)/python -m fuzz $(FUZZ)

faults: $(STAMP) ## every fault of the matrix on real processes; hours. FAULTS="--quick kill-broker" for less
	$(BIN)/python -m faults $(FAULTS)

promises: $(STAMP) ## what is promised, tried on real processes; about an hour. PROMISES="--runs 1 second-run-kill-broker" for less
	$(BIN)/python -m faults.promises $(PROMISES)

attack: $(STAMP) ## attacks on real processes beside an honest load, and the report; an hour and a half. ATTACK="--quick paths-busy" for less
	$(BIN)/python -m attacks $(ATTACK)

docs: $(VENV)/.installed-docs ## the documents as a web site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

stories: $(STAMP) ## write the stories of tests/stories as they go now; read the difference before you commit it
	BRAIDMQ_STORIES_REWRITE=yes $(BIN)/python -m pytest -q tests/stories

docs-tables: $(STAMP) ## write the tables and pictures of the documents that repeat the source
	$(BIN)/python docs/tables.py
	$(BIN)/python docs/rooms.py
	$(BIN)/python docs/diagrams.py
	$(BIN)/python -m tests.terminals

old-libzmq: build/old-libzmq/.downloaded ## a libzmq that speaks ZMTP 3.0, for tests that are skipped without it

lock: ## resolve requirements/*.txt anew, for every Python and system: newest versions that pyproject.toml allows
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install $(QUIET) 'uv>=0.9,<1'
	$(LOCK) --output-file requirements/dev.txt --extra dev pyproject.toml requirements/build.in
	$(LOCK) --output-file requirements/docs.txt --constraint requirements/dev.txt --extra docs pyproject.toml
	$(LOCK) --output-file requirements/bench.txt --constraint requirements/dev.txt --extra bench pyproject.toml
	$(LOCK) --output-file requirements/fuzz.txt --constraint requirements/dev.txt --extra fuzz pyproject.toml
	$(LOCK) --output-file requirements/release.txt --constraint requirements/dev.txt requirements/release.in

dist: $(STAMP) ## the source distribution and the wheel, in dist/, built twice to see that they can be built again
	rm -rf dist
	$(BIN)/python -m tools.release

release: $(VENV)/.installed-release ## checks version, changelog, tag and tree, then builds as `dist` does; uploads nothing
	rm -rf dist
	$(BIN)/python -m tools.release --release
	$(BIN)/twine check --strict dist/*

format: $(STAMP) ## rewrite the sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.installed-%: requirements/%.txt $(STAMP)
	$(BIN)/pip install $(LOCKED) $<
	@touch $@

build/old-libzmq/.downloaded: requirements/old-libzmq.txt | $(STAMP)
	$(BIN)/pip download $(LOCKED) $< --no-deps --only-binary :all: --python-version 3.6 \
	    --platform manylinux1_x86_64 --dest $(@D)
	@touch $@

# The build changes the directory that it happens in, so it gets a copy.
$(COMPILED_VENV)/.installed: pyproject.toml requirements/dev.txt requirements/bench.txt $(shell find src -name '*.py')
	rm -rf $(BUILD) && mkdir -p $(BUILD)/source
	cp -R pyproject.toml README.md LICENSE src $(BUILD)/source
	$(PYTHON) -m venv $(COMPILED_VENV)
	$(COMPILED)/python -m pip install $(LOCKED) requirements/pip.txt
	$(COMPILED)/pip install $(LOCKED) requirements/dev.txt
	$(COMPILED)/pip install $(LOCKED) requirements/bench.txt
	HATCH_BUILD_HOOK_ENABLE_MYPYC=true \
	    $(COMPILED)/pip wheel $(QUIET) --no-deps --no-build-isolation --wheel-dir $(BUILD) $(BUILD)/source
	$(COMPILED)/pip install $(QUIET) --force-reinstall --no-deps $(BUILD)/*.whl
	@touch $@

clean: ## remove what the targets made
	rm -rf .venv .venv-* build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMP): pyproject.toml requirements/pip.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	    || { echo 'BraidMQ needs Python 3.11 or newer: apt install python3 python3-venv, or make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo 'Python has no ensurepip: apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(LOCKED) requirements/pip.txt
	$(BIN)/pip install $(LOCKED) requirements/dev.txt
	$(BIN)/pip install $(QUIET) --no-deps --no-build-isolation --editable .
	@touch $@
