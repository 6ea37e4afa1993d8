# Everything runs inside .venv. `make demo` installs what prediction needs; `make setup` adds what development needs,
# and so does every other target where that is missing.
PYTHON ?= python3
BIN := .venv/bin
# Errors are shown; warnings, which tell of package indexes and of newer versions of pip, are not.
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
SOURCE ?= src/fassd/assets
# Real data for the tests that need it; they skip, and say why, where the folder is missing.
export FASSD_DATA ?= $(abspath ../shared/data)

.PHONY: setup demo test test-slow check bench mutate clean

demo: .venv/light
	@$(BIN)/fassd predict "$(SOURCE)" --out predictions
	@echo
	@echo "Overlays and class maps are in $(CURDIR)/predictions. To label an image of yours:"
	@echo "    $(BIN)/fassd predict YOUR.jpg"

setup: .venv/ready

.venv/light: pyproject.toml constraints.txt
	@echo "Installing fassd into .venv ..."
	@$(PYTHON) -m venv .venv
	@$(INSTALL) -e .
	@touch $@

.venv/ready: .venv/light
	@echo "Installing PyTorch and the development tools into .venv ..."
	@$(INSTALL) -e '.[dev]'
	@touch $@

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

# Changes the program in 300 random places, one at a time, and tells which changes no test noticed (docs/mutation.md).
mutate: setup
	$(INSTALL) -e '.[mutation]'
	$(BIN)/python scripts/mutate.py --mutants 300 --seed 0 --out build/mutation.json

clean:
	rm -rf .venv build dist predictions
