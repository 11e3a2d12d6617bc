"""The parts of the stacks: typed keyword-only inputs, resources exposed, no grants."""
