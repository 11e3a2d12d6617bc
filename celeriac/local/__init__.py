"""The whole of AWS that Celeriac needs, on this machine."""
