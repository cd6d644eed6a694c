"""Who we send to."""
