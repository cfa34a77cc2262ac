"""The loop: labels in, better calibrators out, with the evidence that they are better."""
