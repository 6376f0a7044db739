"""Pages of docs/ that are generated from the synthesized stack, so that they match it."""
