# Benchmarks and the long fault test. Included by the Makefile.

.PHONY: bench-delivery bench-polls test-soak

bench-delivery: $(INSTALLED) ## Compare throughput with stock Celery (ROUNDS, WINDOW)
	$(BIN)/python -m bench.delivery --rounds $(or $(ROUNDS),3) --window $(or $(WINDOW),6)

bench-polls: $(INSTALLED) ## Measure other requests while clients wait (POLLS)
	$(BIN)/python -m bench.long_polls --polls $(or $(POLLS),300)

test-soak: $(INSTALLED) ## Run the fault test with more tasks: kills, failures, duplicates (TASKS)
	SOAK_TASKS=$(or $(TASKS),20000) $(BIN)/python -m pytest tests/faults/test_survival.py \
		-k "nothing_is_lost" --quiet
