"""What a set of labels shows of accuracy and calibration, also where routing has biased it."""
