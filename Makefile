# Everything an engineer types here. `make` alone prints the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo up down test soak check bench package
PYTHON ?= python3
BIN := .venv/bin
CLI := $(BIN)/auth0-sync

help: ## Print this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ On this machine
demo: setup ## Show the main job: Auth0 events in, Postgres, DynamoDB and Athena out
	@$(CLI) demo

up: setup ## Start the embedded stack and leave it running
	@$(CLI) up

down: setup ## Stop the embedded stack and delete its data
	@$(CLI) down

##@ Development
setup: .venv/.ready ## Create .venv from the pinned, hashed requirements

.venv/.ready: requirements/dev.txt pyproject.toml
	@echo "Setting up .venv (once; about a minute) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

test: setup ## Run every test (under 10 minutes)
	$(BIN)/python -m pytest -n 3 --dist loadgroup

soak: setup ## Run 10,000 random histories against a model, with faults (about 5 minutes)
	$(BIN)/python -m tests.soak --histories 10000

check: setup ## Lint, format, types, Terraform
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pipeline.local.terraform

bench: setup ## Measure the sync; figures to build/bench.json
	$(BIN)/python -m benchmarks

##@ AWS
package: setup ## Build the functions' packages for AWS
	@$(CLI) package
