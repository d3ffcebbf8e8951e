"""The judge: what a capture says, what is remembered of the ones before it, and what the rules make of it."""
