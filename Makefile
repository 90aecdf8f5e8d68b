# Two commands: `make demo` and `make test`. Both do all the set-up themselves, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check format bench clean debian

demo: $(VENV)/.installed
	$(BIN)/rulepush demo $(DEMO_FLAGS)

test: debian $(VENV)/.installed-dev check
	$(BIN)/pytest -n 4 --dist loadfile $(PYTEST_FLAGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The real servers that the end-to-end tests drive; tests skip with a reason where they cannot be installed.
debian:
	@.ci/debian-packages

$(VENV)/bin/python:
	@.ci/python-venv $(PYTHON) $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
