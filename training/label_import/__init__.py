"""Labels from a file, row by row, to a running sidecar."""
