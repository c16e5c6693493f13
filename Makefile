# setup installs, run plays the demo ward, test runs everything, power-cuts
# cuts a gateway's power CUTS times, lint reads the code, clean tidies up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# MicroPython on 32 bits, for tests: it comes from npm and runs under Node, where there is one.
NPM_PACKAGE := @micropython/micropython-webassembly-pyscript
NPM_VERSION ?= >=1.27.0
NPM_STAMP := $(VENV)/micropython32/.installed

# Tests run on so many processors at once; a file stays on one of them.
WORKERS ?= auto

# What is installed with the project: those of pyproject.toml.
EXTRAS ?= test

CUTS ?= 2000
SEED ?= 1

.PHONY: setup run test power-cuts lint clean

setup: $(STAMP)

# Rewritten only when the list of dependencies changes, so a second `make setup` takes no time.
$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
		echo "make setup needs Python 3.10 or newer, and there is no $(PYTHON) here." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "make setup needs Python 3.10 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." \
			"Try: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "make setup needs Python's venv module: on Debian and Ubuntu, apt-get install python3-venv." \
			>&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]' || { \
		echo "make setup could not install the packages above; it needs a package index." \
			>&2; exit 1; }
	@touch $@
	@echo "Ready." >&2

run: setup
	@$(BIN)/vitalkeep demo $(ARGS)

$(NPM_STAMP): $(STAMP)
	@mkdir -p $(VENV)/micropython32
	@if command -v npm >/dev/null; then \
		npm install --silent --no-audit --no-fund --no-package-lock \
			--prefix $(VENV)/micropython32 '$(NPM_PACKAGE)@$(NPM_VERSION)' >/dev/null && touch $@ || \
		echo "npm could not install $(NPM_PACKAGE): tests on 32 bits are skipped." >&2; \
	else \
		echo "no npm here: tests on 32 bits are skipped." >&2; \
	fi

test: setup $(NPM_STAMP)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

power-cuts: setup
	@$(BIN)/vitalkeep power-cuts --cuts $(CUTS) --seed $(SEED) $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info host_tools/*.egg-info
	rm -rf .pytest_cache .hypothesis .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
