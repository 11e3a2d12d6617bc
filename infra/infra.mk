# The deployment's commands; the Makefile includes this file. ENV is dev or prod.

ENV = dev
CDK = node_modules/.bin/cdk
# The app runs in the environment's Python; Node's age is not news on each run.
ON_CDK = PATH="$(abspath $(BIN)):$$PATH" JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=1
BUILDER = $(firstword $(shell command -v docker finch podman buildah))
CONTEXT = --context environment=$(ENV)

.PHONY: synth deploy diff destroy deploy-moto test-infra test-py313 image

synth: $(INSTALLED) $(CDK) ## Write the CloudFormation templates (ENV=dev|prod)
	$(ON_CDK) $(CDK) synth --quiet $(CONTEXT)

deploy: $(INSTALLED) $(CDK) ## Deploy to AWS (ENV=dev|prod)
	$(ON_CDK) $(CDK) deploy --all $(CONTEXT) $(DEPLOY_FLAGS)

diff: $(INSTALLED) $(CDK) ## Show what a deployment would change (ENV=dev|prod)
	$(ON_CDK) $(CDK) diff $(CONTEXT)

destroy: $(INSTALLED) $(CDK) ## Take a deployment down; prod refuses (ENV=dev)
	$(BIN)/python -m infra.teardown $(ENV)
	$(ON_CDK) $(CDK) destroy --all $(CONTEXT)

deploy-moto: $(INSTALLED) $(CDK) ## Deploy to AWS as moto plays it, and run every task type there
	$(ON_CDK) $(BIN)/python -m infra.rehearsal

test-infra: $(INSTALLED) ## Test the templates
	$(ON_CDK) $(BIN)/python -m pytest tests/infra

image: ## Build the worker's image with whichever builder is here (BUILDER, BASE)
	$(BUILDER) build $(if $(BASE),--build-arg BASE=$(BASE)) --file worker/Dockerfile --tag celeriac-worker .

# The tests deploy with the real command line.
test: $(CDK)

$(CDK): package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

# What `make test` runs, under the Python that the Lambda runs.
test-py313: $(INSTALLED) ## Run the tests under Lambda's Python, 3.13
	$(MAKE) test VENV=build/py313 \
		PYTHON="$$($(BIN)/python -c 'from infra.cdk.bundling import lambda_python; print(lambda_python())')"
