"""Who can be reached: projects and devices."""
