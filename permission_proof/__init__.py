"""The permission proof: the stack needs every right that it grants, every condition holds, and the rest is refused."""
