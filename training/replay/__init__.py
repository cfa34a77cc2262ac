"""A team's own past, run through the whole loop as if it had been live."""
