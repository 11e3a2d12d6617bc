# Measuring, and enduring. Included by the Makefile.

.PHONY: bench-delivery soak

bench-delivery: $(INSTALLED) ## Set delivery beside stock Celery (ROUNDS, WINDOW)
	$(BIN)/python -m bench.delivery --rounds $(or $(ROUNDS),3) --window $(or $(WINDOW),6)

soak: $(INSTALLED) ## Kill, fail and duplicate for longer than the tests do (TASKS)
	SOAK_TASKS=$(or $(TASKS),20000) $(BIN)/python -m pytest tests/faults/test_survival.py \
		-k "nothing_is_lost" --quiet
