# `make report` and `make test` do all their set-up; `make setup` does that alone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

.PHONY: setup report bench notebooks test test-engines test-long test-gpu lint lock clean

setup: $(READY)
	@echo "Ready. To use the commands in this shell: source $(BIN)/activate"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; give one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet --requirement requirements.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $(READY)

report: $(READY)
	snakemake --cores 4 results/finetune/report.html
	@echo "The page: results/finetune/report.html"

# Measures training, writing and text beside their peers, and writes reports/speed/.
bench: $(READY)
	python benchmarks/bench.py

# Runs the notebooks of docs/learn on the tiny experiment, from a fresh kernel each.
notebooks: $(READY)
	snakemake --cores 4 --config experiment=tiny -- finetune
	jupyter execute docs/learn/notebooks/*.ipynb

# Files are handed out in the order of tests/conftest.py. What tests make stays in .cache/tests.
# What passed is left out for a day while nothing changes (tests/passed.py); make test ALL=yes runs all.
TESTS := pytest -m "not long and not gpu" --numprocesses 2 --dist loadfile --no-loadscope-reorder \
	$(if $(ALL),,--skip-passed)

test: $(READY)
	$(TESTS) --ignore tests/flows

# Whole flows, by whole commands.
test-engines: $(READY)
	$(TESTS) tests/flows

test-long: $(READY)
	pytest -m long

test-gpu: $(READY)
	pytest -m gpu

lint: $(READY)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy

# Resolves every version anew. CUDA's packages are left to torch, which pins them itself.
lock: $(READY)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra last-test \
		--upgrade --no-annotate --no-header --output-file requirements.new pyproject.toml
	grep -vE '^(nvidia|cuda|triton)' requirements.new > requirements.lock
	rm requirements.new

clean:
	rm -rf logs .snakemake .cache .pytest_cache .mypy_cache .ruff_cache
