# `make help` lists the commands. Each sets up what it needs, inside this folder, and only once.
.DEFAULT_GOAL := help
PYTHON ?= python3
# Arguments for the command behind a target: make deploy-local ARGS=--json
ARGS ?=

PIPENV_VERSION := 2026.10.3
BIN := .venv/bin
PIPENV := env -u VIRTUAL_ENV PIPENV_VENV_IN_PROJECT=1 PIPENV_IGNORE_VIRTUALENVS=1 PIPENV_VERBOSITY=-1 .pipenv/bin/pipenv
READY := .venv/.ready
CDKTF_READY := node_modules/.package-lock.json
LINTERS_READY := .linters/.ready

.PHONY: help setup drill deploy-local test prove-permissions synth docs hcl plan lint format lock bench clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

drill: $(READY) ## Let a region fail and come back on an embedded AWS, and measure what its clients see (ARGS=--outage=hang)
	@$(BIN)/dr drill $(ARGS)

deploy-local: $(READY) ## Deploy the stack on an embedded AWS, check everything, destroy it (ARGS=--json)
	@$(BIN)/python -m embedded_aws deploy $(ARGS)

test: lint $(CDKTF_READY) $(LINTERS_READY) ## Lint, then run all tests
	@$(BIN)/pytest $(ARGS)

prove-permissions: $(READY) ## Show that every right is needed and enough (ARGS=--json)
	@$(BIN)/python -m permission_proof $(ARGS)

synth: $(READY) ## Synthesize the stack into cdktf.out
	@$(BIN)/python main.py

docs: $(READY) ## Write the pages that are made from the stack (ARGS=--check)
	@$(BIN)/python -m pages $(ARGS)

hcl: synth ## Write the stack as HCL into lib (ARGS=--json)
	@$(BIN)/python -m hcl $(ARGS)

plan: $(READY) ## Show the plan of the stack against an embedded AWS
	@$(BIN)/python -m embedded_aws plan $(ARGS)

lint: $(READY) ## Check style, formatting and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary .

format: $(READY) ## Format the code and mend what can be mended
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

bench: $(READY) ## Time synthesis and handlers against their baselines (ARGS=--with-commands: drill and deploy-local too)
	@$(BIN)/python -m benchmarks $(ARGS)

lock: .pipenv/bin/pipenv ## Resolve the dependencies anew, naming no package index in the lock files
	@$(PIPENV) lock
	@$(PYTHON) -c "$$STRIP_INDEX"
	@$(BIN)/npm install --package-lock-only

setup: $(READY) $(CDKTF_READY) $(LINTERS_READY) ## Install everything that the other commands need

clean: ## Remove everything that these commands have made
	rm -rf .venv .pipenv .linters node_modules cdktf.out drill-reports build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

# The lock file must not say where packages come from: that is the reader's own setting.
define STRIP_INDEX
import json, pathlib
path = pathlib.Path("Pipfile.lock")
lock = json.loads(path.read_text())
lock["_meta"]["sources"] = []
for section in ("default", "develop"):
    for package in lock[section].values():
        package.pop("index", None)
path.write_text(json.dumps(lock, indent=4) + "\n")
endef
export STRIP_INDEX

.pipenv/bin/pipenv:
	@echo "setting up: pipenv" >&2
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed\nhint: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .pipenv
	@.pipenv/bin/pip install --quiet --disable-pip-version-check pipenv==$(PIPENV_VERSION)

$(READY): Pipfile.lock pyproject.toml .pipenv/bin/pipenv
	@echo "setting up: Python packages (once, about a minute)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIPENV) sync --dev >/dev/null
	@touch $@

$(CDKTF_READY): package-lock.json | $(READY)
	@echo "setting up: the cdktf command line (once, about half a minute)" >&2
	@NODE_OPTIONS=--use-system-ca PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --loglevel=error >/dev/null  # a proxy's CA counts
	@touch $@

$(LINTERS_READY): tests/deploy/linter-requirements.txt
	@echo "setting up: policy linters, in an environment of their own (once, about half a minute)" >&2
	@$(PYTHON) -m venv .linters
	@.linters/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@
