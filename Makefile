# Two commands do everything: `make demo` and `make test`. Both set up `.venv` first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: setup demo test test-slow lint types imports fuzz clean

setup: $(VENV)/.ready

# Everything but the `bench` extra: peers live in .venv-bench, which the first `kakuri bench` makes.
$(VENV)/.ready: pyproject.toml CMakeLists.txt $(shell find native -type f \( -name '*.?pp' -o -name 'CMakeLists.txt' \))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kakuri needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	@command -v c++ >/dev/null || { echo "kakuri needs a C++20 compiler, for example: apt-get install g++"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q "torch==2.13.0"
	$(BIN)/python -m pip install -q -e ".[torch,tflite,serve,ray,dev]"
	@touch $@

demo: setup
	$(BIN)/kakuri demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

test: setup lint types imports
	$(BIN)/python -m pytest

test-slow: setup
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) .venv-bench build
