"""The report of a drill, made from its journal alone."""
