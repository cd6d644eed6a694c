"""What is on the wire, and what we call it: pure, no IO, no clock, no dice."""
