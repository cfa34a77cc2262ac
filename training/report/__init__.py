"""The band report: what every band and category promised, what the labels show of it, and how surely."""
