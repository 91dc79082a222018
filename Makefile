# Everything a developer types. Each target does its own set-up: a machine needs Python 3.11+ and make.
.DEFAULT_GOAL := help
PYTHON ?= python3
ARGS ?=
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := .venv/bin
SYNCED := .venv/.synced
SYNCED_DEV := .venv/.synced-dev

POSTGRES_TESTS := tests/public_api tests/rest tests/contract tests/engines tests/commands tests/journeys tests/warehouses
# Two processes, since tests wait for servers and disks; each test in order, so that a module's fixtures are made once.
TWO := -n 2 --dist worksteal

.PHONY: help run test test-postgres test-clients test-destinations test-terraform soak check bench docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(SYNCED) ## set up and start mainstem; flags through ARGS="--api 127.0.0.1:9000"
	@exec $(RUN)/mainstem serve $(ARGS)

test: $(SYNCED_DEV) ## set up and run the tests; one of them through ARGS="tests/rest"
	$(RUN)/pytest $(or $(ARGS),$(TWO))

test-postgres: $(SYNCED_DEV) ## run the tests of the control plane on a PostgreSQL server of their own
	UV="$(UV)" scripts/with-postgres $(RUN)/pytest -m 'not clients and not destinations and not soak and not terraform and not sqlite' \
		$(or $(ARGS),$(TWO) $(POSTGRES_TESTS))

test-clients: $(SYNCED_DEV) ## run the journeys of the official clients (Node, Go, Chromium)
	scripts/install-clients
	$(RUN)/pytest -m clients $(ARGS)

test-destinations: $(SYNCED_DEV) ## run the tests with Segment's open-source destinations installed
	$(RUN)/mainstem destinations install --packages .packages
	scripts/install-clients
	$(RUN)/pytest -m destinations $(ARGS)

test-terraform: $(SYNCED_DEV) ## run the journeys of Segment's Terraform provider, unmodified
	$(RUN)/mainstem destinations install --packages .packages
	scripts/install-terraform
	$(RUN)/pytest -m terraform $(ARGS)

soak: $(SYNCED_DEV) ## kill every process 100 times under load and compare what arrived
	$(RUN)/pytest -m soak $(ARGS)

check: $(SYNCED_DEV) ## style, types, layers and lock file
	$(RUN)/ruff format --check src tests benchmarks docs
	$(RUN)/ruff check src tests benchmarks docs
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(UV) lock --check

bench: $(SYNCED_DEV) ## measure, print, and write docs/performance.md
	scripts/install-bench
	scripts/install-clients
	$(RUN)/mainstem destinations install --packages .packages
	$(RUN)/python benchmarks/run.py $(ARGS)

docs: $(SYNCED_DEV) ## write the generated reference
	$(RUN)/python -m mainstem.contract.ledger --write
	$(RUN)/python docs/generate.py

clean: ## remove what set-up made
	rm -rf .venv .uv .clients .packages .postgres tests/clients/node_modules

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(SYNCED): pyproject.toml uv.lock | $(filter .uv/bin/uv,$(UV))
	$(UV) sync --quiet --locked --no-dev --inexact --python $(PYTHON) --no-python-downloads --compile-bytecode
	@touch $@

$(SYNCED_DEV): pyproject.toml uv.lock | $(filter .uv/bin/uv,$(UV))
	$(UV) sync --quiet --locked --python $(PYTHON) --no-python-downloads --compile-bytecode
	@touch $@ $(SYNCED)
