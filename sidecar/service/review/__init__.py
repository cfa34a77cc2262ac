"""The review queue: who may take what, what a completion means, and how a held decision ends."""
