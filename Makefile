# Everything an engineer types here. `make` alone prints the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo up down test unit fmt generate own-migration matrix soak chaos check bench bench-peers lock lock-providers package init plan deploy smoke migrate destroy
PYTHON ?= python3
# Or tofu; the commands and the local stack read it from the environment.
TERRAFORM ?= terraform
export TERRAFORM
BIN := .venv/bin
CLI := $(BIN)/auth0-sync
# Install wheels only: pip would build a source archive with build requirements whose hashes it does not compare.
INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary=:all:

help: ## Print this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
	@$(BIN)/python $(INSTALL) -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

# Images of CI often set this, and each of the hundreds of processes would then compile every module again.
test unit: export PYTHONDONTWRITEBYTECODE :=

test: setup .venv-awscli/.ready ## Run every test (7 to 8 minutes on two cores)
	$(BIN)/python -m pytest -n 6

unit: setup ## Run the tests that need no server and no emulator, with a fifth of the examples
	HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -n 2 -m "not postgres and not emulator and not stack" tests/unit tests/delivery tests/doctor tests/watch tests/manifest

fmt: setup ## Format Python and Terraform, and fix what ruff can fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(TERRAFORM) fmt -recursive infra/terraform

own-migration: setup ## Write a migration of your own, NAME=what_it_does; see docs/database.md
	@$(BIN)/python -m pipeline.migration "$(NAME)"

generate: setup ## Write what is generated in infra/terraform from the module and the Python side
	$(BIN)/python -m tests.infra.generate

matrix: setup ## Run the tests of Postgres on 16, 17 and 18
	$(BIN)/python $(INSTALL) -r requirements/matrix.txt
	for major in 16 17 18; do echo "Postgres $$major"; POSTGRES_MAJOR=$$major $(BIN)/python -m pytest -n 4 -m "postgres and not stack" || exit; done

soak: setup ## Run 10,000 random histories against a model, with faults (about 5 minutes)
	$(BIN)/python -m tests.soak --histories 10000

chaos: setup ## Break the local stack under load in 16 ways, and compare with a model (about 25 minutes)
	$(BIN)/python -m tests.chaos

check: setup .venv-checkov/.ready .venv-audit/.ready ## Lint, format, types, Terraform, Checkov, Parliament, pip-audit
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m devstack.terraform
	$(BIN)/python -m tests.infra.scan .venv-checkov/bin/checkov
	$(BIN)/python -m tests.infra.policies .venv-checkov/bin/python
	$(BIN)/python -m pipeline.deploy.providers --check
	$(BIN)/python -m pipeline.packaging.rds_ca --check
	$(BIN)/python -m tests.audit .venv-audit/bin/pip-audit

# Apart, because what Checkov and Parliament need and what we need do not go together.
.venv-checkov/.ready: requirements/checkov.txt
	@echo "Setting up .venv-checkov (once) ..."
	@$(PYTHON) -m venv .venv-checkov
	@.venv-checkov/bin/python $(INSTALL) -r requirements/checkov.txt
	@touch $@

.venv-audit/.ready: requirements/audit.txt
	@echo "Setting up .venv-audit (once) ..."
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python $(INSTALL) -r requirements/audit.txt
	@touch $@

# Apart, so that it does not take the place of the reader's own AWS CLI.
.venv-awscli/.ready: requirements/awscli.txt
	@echo "Setting up .venv-awscli (once) ..."
	@$(PYTHON) -m venv .venv-awscli
	@.venv-awscli/bin/python $(INSTALL) -r requirements/awscli.txt
	@touch $@

lock: .venv-lock/.ready ## Compile requirements/*.txt from *.in; UPGRADE=--upgrade takes newer versions
	cd requirements && for name in lock dev awscli checkov audit; do $(COMPILE) -o $$name.txt $$name.in || exit; done
	cd requirements && $(COMPILE) --no-deps -o matrix.txt matrix.in
	cd requirements && for name in postgres dynamodb migrate reconcile refresh roles peers; do $(COMPILE) -c dev.txt -o $$name.txt $$name.in || exit; done

# What is pinned stays as it is, as long as it suits the .in files. The file names no index, so that any mirror will do.
COMPILE = ../.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(UPGRADE)
UPGRADE ?=

.venv-lock/.ready: requirements/lock.txt
	@echo "Setting up .venv-lock (once) ..."
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python $(INSTALL) -r requirements/lock.txt
	@touch $@

bench: setup ## Measure the sync; figures to build/bench.json
	$(BIN)/python -m benchmarks

bench-peers: .venv-peers/.ready ## Compare the Postgres sink with dlt, SQLAlchemy, psycopg and COPY; figures to build/peers.json
	.venv-peers/bin/python -m benchmarks.peers

# Apart, because dlt brings 30 packages that nothing else here needs.
.venv-peers/.ready: requirements/peers.txt
	@echo "Setting up .venv-peers (once) ..."
	@$(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python $(INSTALL) -r requirements/peers.txt
	@touch $@

##@ AWS: infra/terraform/environments/ENV.tfvars, with the credentials of your shell
lock-providers: setup ## Record the checksums of Terraform's provider, for you to commit
	@$(BIN)/python -m pipeline.deploy.providers

package: setup ## Build the functions' packages for AWS
	@$(CLI) package

init: require-env setup ## Connect an Auth0 tenant: streams, and infra/terraform/environments/ENV.tfvars
	@$(CLI) init --env $(ENV)

plan: require-env setup ## Show what a deployment would change, and change nothing
	@$(CLI) plan --env $(ENV)

deploy: require-env setup ## Deploy: packages, one Terraform apply with roles and migration, smoke test
	@$(CLI) deploy --env $(ENV)

smoke: require-env setup ## Test a deployment with a user that cannot exist
	@$(CLI) smoke --env $(ENV)

migrate: require-env setup ## Migrate a deployment's database, REVISION=head
	@$(CLI) migrate --env $(ENV) --revision $(REVISION)

destroy: require-env setup ## Remove a deployment; stores are kept, unless DATA=delete
	@$(CLI) destroy --env $(ENV) $(if $(filter delete,$(DATA)),--with-data)

REVISION ?= head

.PHONY: require-env
require-env:
	@test -n "$(ENV)" || { echo "Which deployment? ENV=production, for infra/terraform/environments/production.tfvars" >&2; exit 2; }
