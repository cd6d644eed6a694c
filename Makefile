# make run     install into .venv (once) and serve; ARGS="--tls --data state" are passed on
# make test    all tests but two slow modules, with what they need
# make check   format, lint, types
# make bench   the figures of docs/performance.md; BENCH_ARGS="--quick gzip" chooses
# make docs    the site, into build/site
# make test-home-assistant    the slow modules: our relay and local push against Home Assistant core itself
# make test-clients    published SDKs from their registries; CLIENTS="npm" chooses by name
#
# PYTHON=python3.12 chooses the interpreter of a new .venv (3.11 or newer).

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
PYTEST_ARGS ?=
CLIENTS ?=
BENCH_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
NODE_DIRS := $(patsubst %/package.json,%,$(wildcard tests/compat/node/*/package.json examples/*/package.json))

.PHONY: run test check bench docs test-clients test-home-assistant debian-packages node-packages home-assistant clean

run: $(VENV)/.installed
	@$(BIN)/expo-gateway serve $(ARGS)

test: $(VENV)/.installed-test debian-packages node-packages $(VENV)/schemathesis/bin/schemathesis
	$(BIN)/python -m pytest -n auto -m "not slow" $(PYTEST_ARGS)

test-home-assistant: $(VENV)/.installed-test home-assistant
	$(BIN)/python -m pytest -m slow tests/compat $(PYTEST_ARGS)

check: $(VENV)/.installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	@scripts/node-packages.sh benchmarks/peers/node
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

docs: $(VENV)/.installed-docs
	$(BIN)/python scripts/reference.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

test-clients: $(VENV)/.installed-test
	$(BIN)/python -m tests.clients $(CLIENTS)

# The stamps hold what was installed: a second run installs nothing.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[fast,test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-check: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[fast,test,check]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[docs]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[fast,bench]'
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than Python 3.11; choose another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# In an environment of its own: its pytest plugin would make every start of the tests three seconds longer.
$(VENV)/schemathesis/bin/schemathesis: | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/schemathesis
	$(VENV)/schemathesis/bin/python -m pip install --quiet --disable-pip-version-check schemathesis==4.32.5

debian-packages:
	@scripts/debian-packages.sh

node-packages:
	@scripts/node-packages.sh $(NODE_DIRS)

# 600 MB, and two minutes, once.
home-assistant: | $(BIN)/python
	@scripts/home-assistant.sh $(VENV)/home-assistant $(BIN)/python

clean:
	rm -rf $(VENV) $(addsuffix /node_modules,$(NODE_DIRS) benchmarks/peers/node) .pytest_cache .mypy_cache .ruff_cache
