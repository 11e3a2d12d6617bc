"""What the system can do: one module a task type. Add a file here to add a task type."""
