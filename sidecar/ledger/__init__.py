"""The store of decisions, labels and review tasks, and the journal in front of it."""
