# Two commands need nothing but Python 3.11, pip, git and make: `make report` and `make test`.
# Each sets up its own part of .venv, from locks whose hashes pip checks.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check -q install
LOCKED := $(PIP) --require-hashes --only-binary :all: -r
HERE := $(PIP) --no-deps --no-build-isolation -e .
# Modules are compiled once, and not by each of the processes that the tests start.
export PYTHONDONTWRITEBYTECODE :=
SOURCES = $$(git ls-files 'capsule_analytics/*.py')

.PHONY: report check test format lint types fast tests coverage test-long test-oldest test-clients \
  test-spark release bench bench-heavy docs pictures constraints clean

report: $(VENV)/.report  ## write the sample account's report into report/
	$(BIN)/capsule-report --sample --html --xlsx --out report

check: format lint types fast  ## the inner loop: what changed is tidy, typed, and not broken

test: lint types tests  ## linters, types, docstrings, and the whole suite

format: $(VENV)/.test
	$(BIN)/ruff check -q --fix-only .
	$(BIN)/ruff format -q .

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m numpydoc lint $(SOURCES)

types: $(VENV)/.test
	$(BIN)/mypy

fast: $(VENV)/.test
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder -m "not slow" tests

tests: $(VENV)/.test
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder --mpl

coverage: $(VENV)/.test  ## the suite once more, told which lines it does not reach; half as long again
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder --mpl --cov --cov-report=term

test-long: $(VENV)/.test  ## try what is generated many times as often, and count it: ten minutes
	CAPSULE_TEST_LONG=30 $(BIN)/python -m pytest -n auto -q tests/load/test_complete_model.py tests/load/test_fuzz.py

$(VENV)/.report: pyproject.toml locks/report.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(LOCKED) locks/report.txt
	$(BIN)/python $(HERE)
	touch $@

$(VENV)/.test: pyproject.toml locks/test.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(LOCKED) locks/test.txt
	$(BIN)/python $(HERE)
	touch $@

test-oldest: $(VENV)-oldest/.test  ## the tests on the oldest supported dependencies
	$(VENV)-oldest/bin/python -m pytest -q

$(VENV)-oldest/.test: pyproject.toml constraints-oldest.txt
	test -x $(VENV)-oldest/bin/python || $(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python $(PIP) -c constraints-oldest.txt -e ".[all,dev]"
	touch $@

test-clients: $(VENV)-clients/.test  ## clients that others wrote read the sandbox: the same sums as ours
	$(VENV)-clients/bin/python -m pytest -q -W default tests/clients

$(VENV)-clients/.test: pyproject.toml locks/clients.txt
	test -x $(VENV)-clients/bin/python || $(PYTHON) -m venv $(VENV)-clients
	$(VENV)-clients/bin/python $(LOCKED) locks/clients.txt
	$(VENV)-clients/bin/python $(HERE)
	touch $@

test-spark: $(VENV)-spark/.test  ## forecasts on Spark, which needs Java 17 or later
	$(VENV)-spark/bin/python -m pytest -q tests/deals/test_spark.py

$(VENV)-spark/.test: pyproject.toml locks/test.txt
	test -x $(VENV)-spark/bin/python || $(PYTHON) -m venv $(VENV)-spark
	$(VENV)-spark/bin/python $(LOCKED) locks/test.txt
	$(VENV)-spark/bin/python $(PIP) "pyspark>=4.0"
	$(VENV)-spark/bin/python $(HERE)
	touch $@

release: $(VENV)/.test  ## build wheel, sdist and bill of materials; try each in a clean environment
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	set -e; for try in "python3.11 constraints-oldest.txt" python3.11 python3.12 python3.13 python3.14; do \
	  set -- $$try; $$1 -c "" 2>/dev/null || { echo "no $$1 here"; continue; }; \
	  for built in dist/*.whl dist/*.tar.gz; do \
	    echo "$$built on $$1 with the $${2:-newest} dependencies"; \
	    rm -rf dist/try; $$1 -m venv dist/try/venv; \
	    dist/try/venv/bin/python $(PIP) $${2:+-c $$2} $$built; \
	    dist/try/venv/bin/capsule-report --sample --out dist/try/report; \
	  done; \
	done; rm -rf dist/try
	$(PYTHON) -m venv --without-pip dist/try/venv
	$(BIN)/python -m pip --python dist/try/venv/bin/python -q install --require-hashes \
	  --only-binary :all: -r locks/image.txt
	$(BIN)/python -m pip --python dist/try/venv/bin/python -q install --no-deps dist/*.whl
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  -o $$(ls dist/*.whl | sed 's/-py3.*/.cdx.json/') dist/try/venv/bin/python
	rm -rf dist/try

bench: $(VENV)/.test  ## speed, into docs/performance.md; how good projections are, on invented accounts
	$(BIN)/python benchmarks/run.py
	for world in worlds daybook buyers; do \
	  OMP_NUM_THREADS=1 $(BIN)/python benchmarks/projection.py --world $$world --half report \
	    --origins 2 --draws 100 --single || exit 1; \
	done

bench-heavy: $(VENV)/.test  ## a million deals, fifty million rows, Dask: an hour
	$(BIN)/python benchmarks/run.py --heavy
	$(BIN)/python benchmarks/portfolio.py

docs: $(VENV)/.test  ## build the documentation into docs/_build, and follow its links
	$(BIN)/python -m sphinx -W --keep-going -q -d docs/_build/read -b html docs docs/_build/html
	$(BIN)/python -m sphinx -q -d docs/_build/read -b linkcheck docs docs/_build/links

pictures: $(VENV)/.test  ## draw the documentation's pictures anew; those of the page need Chromium
	$(BIN)/python docs/draw.py

constraints: $(VENV)-locks/.done  ## lock the newest dependencies that have been out for a week
	$(VENV)-locks/bin/python locks/renew.py
	$(VENV)-locks/bin/python locks/check.py

$(VENV)-locks/.done:
	$(PYTHON) -m venv $(VENV)-locks
	$(VENV)-locks/bin/python $(PIP) --upgrade "pip>=25" "uv>=0.9" packaging
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-clients $(VENV)-locks docs/_build dist report .pytest_cache .mypy_cache \
	  .ruff_cache .hypothesis .coverage
