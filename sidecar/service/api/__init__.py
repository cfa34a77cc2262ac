"""The wire: protobuf to our own types and back. No logic."""
