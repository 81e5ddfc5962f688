# The hub's commands. `make serve` and `make test` do all the set-up they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMMA := ,

.PHONY: help serving install serve day quick test check format hooks replay bench clean

help:
	@echo "make serve    start a hub with demo accounts and simulated members; Ctrl-C stops it"
	@echo "make day      the same, living through trading days, 24 hours in five minutes"
	@echo "make quick    the tests that need neither the compiler nor sockets, in seconds"
	@echo "make check    formatter, linter, types, layers; runs nothing"
	@echo "make test     everything: make check, then the whole suite"
	@echo "make format   format the code and repair what the linter can"
	@echo "make hooks    run make check before each commit"
	@echo "make replay   replay half an hour of a real venue's order flow and compare the trades"
	@echo "make bench    measure kernel, auction, day, recovery and gateway (about twelve minutes)"
	@echo "make clean    remove the environment and compiled files (not the data folder)"

# Installs with uv, which takes less than half of pip's time, or with pip where there is no uv for the machine.
INSTALL = if [ -x $(BIN)/uv ]; \
	then $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt $(1); \
	else $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt $(1); fi

serving: $(VENV)/serving

install: $(VENV)/complete

# What a hub needs to run, and nothing else.
$(VENV)/serving: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "QIEE Hub needs Python 3.11 or newer")'
	@echo "Installing what serving needs into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt uv || echo "no uv for this machine; pip does it"
	@$(call INSTALL,-e .)
	@touch $@

# What tests, benchmarks and development need beside it.
$(VENV)/complete: $(VENV)/serving
	@echo "Installing what tests and benchmarks need into $(VENV) ..."
	@$(call INSTALL,-e '.[test$(COMMA)bench$(COMMA)dev]')
	@$(call INSTALL,--no-deps ob-analytics)
	@touch $@

serve: serving
	@$(BIN)/qiee serve

day: serving
	@$(BIN)/qiee serve --day compressed --data data-day

replay: install
	@$(BIN)/qiee replay

# With the JIT off nothing is compiled and kernels are Python: slow for long flows, which are left to `make test`.
quick: install
	@NUMBA_DISABLE_JIT=1 $(BIN)/pytest -m "unit and not compiled"

format: install
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

check: install
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: check
	@$(BIN)/pytest

hooks: install
	@$(BIN)/pre-commit install

bench: install
	@$(BIN)/python -m benchmarks.kernel
	@$(BIN)/python -m benchmarks.auction
	@$(BIN)/python -m benchmarks.day
	@$(BIN)/python -m benchmarks.recovery
	@$(BIN)/python -m benchmarks.gateway

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
