# Everything runs inside .venv, which `make setup` builds; the other targets call it where it is missing.
PYTHON ?= python3
BIN := .venv/bin
SOURCE ?= src/fassd/assets
# Real data for the tests that need it; they skip, and say why, where the folder is missing.
export FASSD_DATA ?= $(abspath ../shared/data)

.PHONY: setup demo test test-slow check bench clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup
	@$(BIN)/fassd predict "$(SOURCE)" --out predictions

test: setup
	$(BIN)/python -m pytest -q

test-slow: setup
	$(BIN)/python -m pytest -q -m "slow or not slow"

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/runtimes.py
	$(BIN)/python benchmarks/upsample_argmax.py
	$(BIN)/python benchmarks/official_scores.py
	$(BIN)/python benchmarks/data_check.py
	$(BIN)/python benchmarks/input_pipeline.py

clean:
	rm -rf .venv build dist predictions
