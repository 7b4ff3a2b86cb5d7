# Two commands on a fresh clone: `make demo` runs the whole loop on a CPU, `make test` the tests. Both make .venv once
# and are quick afterwards. Needs Python 3.11 or newer, with pip.

PYTHON ?= python3
BIN := .venv/bin
# 2.13.0 serves a CPU. A machine with an NVIDIA GPU takes the gpu extra: make install TORCH=torch==2.11.0
TORCH ?= torch==2.13.0

.PHONY: demo test lint install install-test clean

demo: install
	$(BIN)/python -m harness.run exp/quickstart.yaml

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
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

clean:
	rm -rf .venv *.egg-info
