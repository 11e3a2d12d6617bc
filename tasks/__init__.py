"""Your task types, one module each. Add a file here to add a task type."""
