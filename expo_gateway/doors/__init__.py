"""Every HTTP entrance. A door translates somebody's protocol to batches, and outcomes back."""
