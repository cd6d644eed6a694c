# make run     install into .venv (once) and serve; ARGS="--tls --data state" are passed on
# make test    all tests, with what they need
# make check   format, lint, types
# make docs    the site, into build/site
# make test-clients    published SDKs from their registries; CLIENTS="npm" chooses by name
#
# PYTHON=python3.12 chooses the interpreter of a new .venv (3.11 or newer).

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
PYTEST_ARGS ?=
CLIENTS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
NODE_DIRS := $(patsubst %/package-lock.json,%,$(wildcard tests/compat/node/*/package-lock.json))

.PHONY: run test check docs test-clients debian-packages node-packages clean

run: $(VENV)/.installed
	@$(BIN)/expo-gateway serve $(ARGS)

test: $(VENV)/.installed-test debian-packages node-packages
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

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

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than Python 3.11; choose another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

debian-packages:
	@scripts/debian-packages.sh

node-packages:
	@scripts/node-packages.sh $(NODE_DIRS)

clean:
	rm -rf $(VENV) $(addsuffix /node_modules,$(NODE_DIRS)) .pytest_cache .mypy_cache .ruff_cache
