"""What decides now: the policy file, the followers of the registry, the brake, the shadow."""
