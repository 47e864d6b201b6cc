# Two commands need nothing but Python 3.11, pip, git and make: `make report` and `make test`.
# Each sets up its own part of .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install -c constraints.txt

.PHONY: report test lint types tests test-oldest bench docs constraints clean

report: $(VENV)/.report  ## write the sample account's report into report/
	$(BIN)/capsule-report --sample --html --xlsx --out report

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
	$(PIP) -e ".[html,excel]"
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e ".[all,dev]"
	touch $@

test-oldest: $(VENV)-oldest/.test  ## the tests on the oldest supported dependencies
	$(VENV)-oldest/bin/python -m pytest -q

$(VENV)-oldest/.test: pyproject.toml constraints-oldest.txt
	test -x $(VENV)-oldest/bin/python || $(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip -q install -c constraints-oldest.txt -e ".[all,dev]"
	touch $@

bench: $(VENV)/.test  ## measure, and write docs/performance.md
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/portfolio.py

docs: $(VENV)/.test  ## build the documentation into docs/_build
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

constraints: $(VENV)/.test  ## pin what is installed
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf $(VENV) $(VENV)-oldest docs/_build report .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
