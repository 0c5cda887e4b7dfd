# Everything a newcomer needs: `make demo` shows it earn, `make test` proves it.
PYTHON ?= python3
# Tests wait for blocks and deadlines most of the time: more processes than cores.
PROCESSES ?= 3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test chaos soak check format bench proto clean tilt-up-docker tilt-down-docker tilt-up-k8s tilt-down-k8s

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

test: check ## All tests, PROCESSES=3 at a time
	$(BIN)/python -m pytest -q -n $(PROCESSES)

chaos: install ## Kill and cut off everything under load and count; SEED=1 MINUTES=10
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),10)

soak: check ## The same tests with the full counts, one at a time
	$(BIN)/python -m pytest -q --soak

bench: install ## Print a table of measurements; JSON=FILE writes them too
	$(BIN)/python -m benchmarks $(if $(JSON),--json $(JSON))

format: install ## Fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: install ## Generate the protobuf modules from their .proto files
	$(BIN)/python scripts/generate_protobuf.py

tilt-up-docker: ## A whole network in Docker Compose, watched by Tilt
	tilt up -f tilt/docker/Tiltfile $(ARGS)

tilt-down-docker: ## End it and forget its data
	tilt down -f tilt/docker/Tiltfile --delete-namespaces
	docker compose -f tilt/docker/docker-compose.yaml down --volumes

tilt-up-k8s: install ## The same network in a cluster on this machine
	tilt up -f tilt/k8s/Tiltfile $(ARGS)

tilt-down-k8s: ## End it
	tilt down -f tilt/k8s/Tiltfile

clean: ## Remove everything that was made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
