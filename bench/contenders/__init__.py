"""The apps that ``bench.delivery`` sets beside one another, each with the same two tasks."""
