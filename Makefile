# The hub's commands. `make serve` and `make test` do all the set-up they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install serve day test check replay bench clean

help:
	@echo "make serve    start a hub with demo accounts and simulated members; Ctrl-C stops it"
	@echo "make day      the same, living through trading days, 24 hours in five minutes"
	@echo "make test     install and run the whole suite: linters, types, layers, tests"
	@echo "make replay   replay half an hour of a real venue's order flow and compare the trades"
	@echo "make bench    measure kernel, auction, day, recovery and gateway (about twelve minutes)"
	@echo "make clean    remove the environment and compiled files (not the data folder)"

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "QIEE Hub needs Python 3.11 or newer")'
	@echo "Installing into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt --no-deps ob-analytics
	@touch $@

serve: install
	@$(BIN)/qiee serve

day: install
	@$(BIN)/qiee serve --day compressed --data data-day

replay: install
	@$(BIN)/qiee replay

check: install
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: check
	@$(BIN)/pytest

bench: install
	@$(BIN)/python -m benchmarks.kernel
	@$(BIN)/python -m benchmarks.auction
	@$(BIN)/python -m benchmarks.day
	@$(BIN)/python -m benchmarks.recovery
	@$(BIN)/python -m benchmarks.gateway

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
