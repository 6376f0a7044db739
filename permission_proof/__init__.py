"""The permission proof: every right that the stack grants is needed, every condition holds, the rest is refused."""
