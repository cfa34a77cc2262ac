"""Files, columns, datasets and labelled decisions."""
