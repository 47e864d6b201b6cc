# Two commands need nothing but Python 3.11, pip, git and make: `make report` and `make test`.
# Each sets up its own part of .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install -c constraints.txt

.PHONY: report test lint types tests test-oldest release bench docs constraints clean

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
	$(BIN)/python -m pytest -n auto --mpl --cov --cov-report=term

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

release: $(VENV)/.test  ## build wheel and sdist, and try both in clean environments
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	set -e; for try in "python3.11 constraints-oldest.txt" python3.11 python3.12 python3.13 python3.14; do \
	  set -- $$try; $$1 -c "" 2>/dev/null || { echo "no $$1 here"; continue; }; \
	  for built in dist/*.whl dist/*.tar.gz; do \
	    echo "$$built on $$1 with the $${2:-newest} dependencies"; \
	    rm -rf dist/try; $$1 -m venv dist/try/venv; \
	    dist/try/venv/bin/python -m pip --disable-pip-version-check -q install $${2:+-c $$2} $$built; \
	    dist/try/venv/bin/capsule-report --sample --out dist/try/report; \
	  done; \
	done; rm -rf dist/try

bench: $(VENV)/.test  ## measure, and write docs/performance.md
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/portfolio.py
	$(BIN)/python benchmarks/rate_limit.py

docs: $(VENV)/.test  ## build the documentation into docs/_build
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

constraints: $(VENV)/.test  ## pin what is installed
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf $(VENV) $(VENV)-oldest docs/_build dist report .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
