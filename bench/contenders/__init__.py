"""The apps that ``bench.delivery`` compares, each with the same two tasks."""
