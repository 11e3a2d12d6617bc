"""The command ``celeriac``, a module for each thing it looks after."""
