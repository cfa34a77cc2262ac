"""The fallback chain at work: rules, then a secondary model. Failing is normal here, and never acts."""
