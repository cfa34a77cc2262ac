"""Cut-offs with a guarantee, from labels, and the cheapest cut-offs, from costs; their diff of a policy."""
