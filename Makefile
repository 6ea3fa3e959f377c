# setup    makes .venv with the app and its test tools, once
# demo     indexes samples/, asks five questions, prints the answers
# test     runs every test, those against a real Elasticsearch and in a real Chromium included
# faults   runs the catalogue of faults at full length, writes which hold to tests/faults/RESULTS.md, and fails unless all do
# check    lints and types; changes nothing
# fix      formats
# bench    prints the speed tables
# audit    asks the advisory database about the pinned dependencies; says so where it cannot be reached
# sbom     writes the bill of materials of what is installed to dist/sbom.json (CycloneDX)
.PHONY: setup demo test faults check fix bench audit sbom clean

PYTHON ?= python3
BIN := .venv/bin
SBOM := dist/sbom.json
SBOM_OPTIONS :=
# Tests that need something which is not here fail instead of being skipped.
NOTHING_SKIPPED := QA_TEST_REQUIRE_ELASTICSEARCH=1 QA_TEST_REQUIRE_CHROMIUM=1 QA_TEST_REQUIRE_STRACE=1

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 12) else "Python 3.10, 3.11 or 3.12 is needed, this is %d.%d; try make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,openvino,ui]'
	@touch $@

demo: setup
	$(BIN)/qa-app demo

test: setup
	$(BIN)/python -m pytest

faults: setup
	$(NOTHING_SKIPPED) $(BIN)/python -m pytest -m case --long

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m benchmarks

audit: setup
	$(BIN)/python -m tests.supply

sbom: setup
	@mkdir -p $(dir $(SBOM))
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible $(SBOM_OPTIONS) --output-file $(SBOM) $(BIN)/python

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .cache
