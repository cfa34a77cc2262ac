"""What decisions mean: the policy file, the pure decision, the generated specification, the checks."""
