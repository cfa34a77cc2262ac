"""The local durable file, and the forwarder that empties it."""
