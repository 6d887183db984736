# Each target makes the environment that it needs in .venv; all are safe to run again.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check

.PHONY: help train test lint test-slow test-gpu bench bench-gpu clean

help:
	@echo "make train      train a net on 5,000 digits of MNIST and draw a picture of it"
	@echo "make test       ruff, mypy and the tests"
	@echo "make lint       ruff and mypy alone"
	@echo "make test-slow  the longer tests; they also build and install the wheel"
	@echo "make test-gpu   the tests of the kernels on a GPU, if there is one"
	@echo "make bench      compare steps of several nets with PyTorch, which it installs"
	@echo "make bench-gpu  the same on a GPU, if there is one"
	@echo "make clean      remove the environment and all that was built; data/ and runs/ stay"
	@echo "Another Python, 3.11 or newer: make PYTHON=/path/to/python3 TARGET"

# A directory of its own for each run: one that existed would be resumed.
train: RUN := runs/mnist-quick-$(shell date +%Y-%m-%d_%H.%M.%S)
train: $(VENV)/.has-core
	$(PY) -m convnet data mnist-5k --out data/mnist-5k
	$(PY) -m convnet --data-provider batches --data-path data/mnist-5k \
	    --train-range 1-4 --test-range 5 --epochs 10 --test-freq 4 --mini 64 --save-file $(RUN) \
	    --layer-def layers/layers-mnist-quick.cfg \
	    --layer-params layers/layer-params-mnist-quick.cfg
	$(PY) -m convnet show --load-file $(RUN) --out runs/mnist-quick.png

test: lint
	$(PY) -m pytest

lint: $(VENV)/.has-dev
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

test-slow: $(VENV)/.has-dev $(VENV)/.has-inspect
	$(PY) -m pytest -m slow

# Take the extra cuda12 or cuda13, see docs/kernels.md.
test-gpu: $(VENV)/.has-dev
	$(PY) -m tests.gpu.run_tests

bench-gpu: $(VENV)/.has-dev
	$(PY) -m tests.gpu.bench

bench: $(VENV)/.has-bench
	$(PY) -m tests.benchmarks.bench

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find convnet data_providers tests -name __pycache__ -prune -exec rm -rf {} +

# Stamps: what is installed stays so until pyproject.toml changes.
$(VENV)/.has-core: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	    "error: $(PYTHON): Python 3.11 or newer is needed, found: $$($(PYTHON) --version 2>&1);" \
	    "name another with make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo \
	    "error: $(PYTHON) cannot make an environment, its modules venv and ensurepip are missing;" \
	    "install them (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing into $(VENV) (some minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.has-%: $(VENV)/.has-core
	@echo "Installing what '$*' needs into $(VENV)"
	@$(PIP) install --editable '.[$*]'
	@touch $@
