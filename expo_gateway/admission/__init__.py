"""Who may send for a project, and how much of it now."""
