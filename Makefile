# Everything a newcomer needs: `make demo` shows it earn, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test chaos soak check format bench proto clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv and install everything into it

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP)

demo: install ## Chain, relayer and miner on this machine: signed relays in, uPOKT out
	$(BIN)/relayminer demo

check: install ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check ## All tests
	$(BIN)/python -m pytest -q

chaos: install ## Kill and cut off everything under load and count; SEED=1 MINUTES=10
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),10)

soak: check ## The same tests with the full counts
	$(BIN)/python -m pytest -q --soak

bench: install ## Print a table of measurements; JSON=FILE writes them too
	$(BIN)/python -m benchmarks $(if $(JSON),--json $(JSON))

format: install ## Fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: install ## Generate the protobuf modules from their .proto files
	$(BIN)/python scripts/generate_protobuf.py

clean: ## Remove everything that was made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
