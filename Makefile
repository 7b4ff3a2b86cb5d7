# Two commands for a fresh clone: `make demo` runs the whole loop on a CPU, `make test` runs the tests. Both create .venv
# once and are quick afterwards. Needs Python 3.11 or newer, with pip.

PYTHON ?= python3
BIN := .venv/bin
# The version for a CPU; make gpu uses the lock file's.
TORCH ?= torch==2.13.0

.PHONY: demo test lint install install-test gpu clean

demo: install
	$(BIN)/python -m harness.run experiments/quickstart.yaml

test: install-test
	$(BIN)/python -m pytest

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

install: .venv/installed
install-test: .venv/installed-test

.venv/installed: pyproject.toml
	@echo "Setting up .venv; the first time takes a minute or more."
	$(PYTHON) -m venv .venv
	[ -e .venv/installed-gpu ] || $(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

# For a machine with an NVIDIA GPU: Linux, x86-64, Python 3.12, every package as locked; at the end, says what it can run.
gpu: .venv/installed-gpu
	$(BIN)/python -m harness.doctor

.venv/installed-gpu: pyproject.toml requirements-gpu.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12) and "the lock file is for Python 3.12: make gpu PYTHON=python3.12")'
	@echo "Setting up a new .venv with several GB of CUDA packages; this takes minutes."
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-gpu.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch .venv/installed .venv/installed-test $@

clean:
	rm -rf .venv *.egg-info
