"""The commands of ``python -m celeriac``, a module for each thing they look after."""
