# Two commands need nothing but Python 3.11, pip, git and make: `make report` and `make test`.
# Each sets up its own part of .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install -c constraints.txt

.PHONY: report test lint types tests bench docs clean

report: $(VENV)/.report  ## write the sample account's report into report/
	$(BIN)/capsule-report --sample --out report

test: lint types tests  ## linters, types, docstrings, and the whole suite

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m numpydoc lint $$(git ls-files 'capsule_analytics/*.py')

types: $(VENV)/.test
	$(BIN)/mypy

tests: $(VENV)/.test
	$(BIN)/python -m pytest --mpl --cov --cov-report=term

$(VENV)/.report: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e ".[html]"
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e ".[all,dev]"
	touch $@

clean:
	rm -rf $(VENV) report .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
