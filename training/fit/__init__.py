"""From labelled evidence to a calibrator."""
