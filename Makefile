# Two commands: `make demo` and `make test`. Both do all the set-up themselves, inside this folder: .venv has what the lock
# (requirements/) names, .servers the real servers that the end-to-end tests drive, .browser the chromium that looks at the
# pages where the system has none. CONTRIBUTING.md lists the other targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEWEST := .venv-newest
OLDEST := .venv-oldest
TOOLS := .venv-tools
MUTATE := .venv-mutate
PIP_FLAGS := --quiet --disable-pip-version-check
FROM_LOCK := install $(PIP_FLAGS) --require-hashes
# Built without isolation, by the setuptools of the lock: an isolated build would fetch whatever is newest.
OURSELVES := install $(PIP_FLAGS) --no-deps --no-build-isolation --editable .

.PHONY: demo test check format servers browser screenshots lock test-newest test-oldest mutate build clean

demo: $(VENV)/.installed
	$(BIN)/rulepush demo $(DEMO_FLAGS)

test: servers browser check
	.ci/suite $(BIN)/python $(PYTEST_FLAGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

servers:
	@.ci/servers .servers

browser:
	@.ci/browser .browser

# The pages as docs/ shows them; look at each before it is committed.
screenshots: browser $(VENV)/.installed-dev
	$(BIN)/python -m tests.browser.screenshots docs/images

# Renews requirements/ to the newest versions that pyproject.toml allows; the next make installs them.
lock: $(TOOLS)/bin/python
	$(TOOLS)/bin/pip install $(PIP_FLAGS) --upgrade uv
	.ci/lock $(TOOLS)/bin/uv

# The suite on the newest of everything, whatever the lock says: what users get from `pip install rulepush` today.
test-newest: $(NEWEST)/bin/python servers browser
	$(NEWEST)/bin/pip install $(PIP_FLAGS) --upgrade --upgrade-strategy eager --editable '.[dev]'
	.ci/suite $(NEWEST)/bin/python $(PYTEST_FLAGS)

# The suite on the lowest versions that pyproject.toml allows rulepush itself to have.
test-oldest: $(OLDEST)/bin/python $(TOOLS)/bin/python servers browser
	$(TOOLS)/bin/pip install $(PIP_FLAGS) --upgrade uv
	.ci/lowest $(TOOLS)/bin/uv $(OLDEST)/bin/python
	.ci/suite $(OLDEST)/bin/python $(PYTEST_FLAGS)

# Changes the core in a copy (mutants/), one expression at a time, and names the changes that no unit test notices; then
# `.venv-mutate/bin/mutmut show NAME` shows one. There are some 6,600, at a few a second: MUTANTS='rulepush.relabel.*' takes
# one package, MUTANTS='rulepush.notifier.outbox.*' one file.
mutate: $(MUTATE)/.installed
	$(MUTATE)/bin/mutmut run $(if $(MUTANTS),'$(MUTANTS)')
	@$(MUTATE)/bin/mutmut results | grep -v ': not checked' || true

$(MUTATE)/.installed: $(MUTATE)/bin/python requirements/mutate.txt
	$(MUTATE)/bin/pip $(FROM_LOCK) -r requirements/mutate.txt
	@touch $@

# The source archive and the wheel, in dist/, with twine's checks of what PyPI will show.
build: $(TOOLS)/bin/python
	rm -rf dist
	$(TOOLS)/bin/pip install $(PIP_FLAGS) --upgrade build twine
	$(TOOLS)/bin/python -m build
	$(TOOLS)/bin/twine check --strict dist/*

%/bin/python:
	@.ci/python-venv $(PYTHON) $*

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml requirements/run.txt requirements/build.txt
	$(BIN)/pip $(FROM_LOCK) -r requirements/run.txt -r requirements/build.txt
	$(BIN)/pip $(OURSELVES)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml requirements/dev.txt
	$(BIN)/pip $(FROM_LOCK) -r requirements/dev.txt
	$(BIN)/pip $(OURSELVES)
	@touch $@ $(VENV)/.installed

clean:
	rm -rf .venv* .servers .browser build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
