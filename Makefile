# Model Diet: `make demo` and `make test` need only Python 3.11-3.13 and make.
PYTHON ?= python3
VENV := .venv
PACKAGES := compression datamodules lightning_modules
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# The Optuna and SQLAlchemy that hydra-optuna-sweeper does not allow yet, over the installed ones.
OPTUNA5 := $(CURDIR)/.optuna5

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all coverage lint format

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/bin/uv pip install --quiet --python $(PY) --compile-bytecode --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(OPTUNA5)/.installed: $(STAMP)
	$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps --target $(OPTUNA5) 'optuna==5.0.0' 'sqlalchemy>=2'
	@touch $@

install: $(STAMP)  ## make .venv with the tested versions

demo: $(STAMP)  ## train, compress and report on the embedded data (about two minutes)
	$(PY) run.py experiment=demo

test: $(STAMP)  ## the tests that CI runs
	env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -n 2 --dist worksteal -m 'not slow'

test-all: $(STAMP) $(OPTUNA5)/.installed  ## every test, the slow ones too; searches with Optuna 5 as well
	env -u PYTHONDONTWRITEBYTECODE MODEL_DIET_COLD_TESTS=1 $(PY) -m pytest -n 2 --dist loadfile
	env -u PYTHONDONTWRITEBYTECODE PYTHONPATH=$(OPTUNA5) $(PY) -m pytest -n 2 --dist worksteal -m 'not slow' tests/lightning_modules/search tests/integration/test_search.py

coverage: $(STAMP)  ## line and branch coverage of the tests that CI runs
	env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -n 2 --dist worksteal -q -m 'not slow' --cov --cov-report=term:skip-covered

lint: $(STAMP)  ## style, types, docstrings and the arrows between rooms, without changing a file
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/interrogate --quiet $(PACKAGES) scripts run.py
	$(VENV)/bin/mypy

format: $(STAMP)  ## let ruff put the code in order
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
