"""Pages of docs/ that are written from the synthesized stack, so that they say what is deployed."""
