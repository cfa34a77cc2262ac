"""What a decision is: pure, no I/O, no clock."""
