"""The numbers that the loop's statistics must reach: simulations with fixed seeds."""
