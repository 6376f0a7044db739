"""Commands for operators of a deployed stack: show its status, fail over and back, drill it, adopt lost resources."""
