"""What the command line does besides serving. Modules of commands import nothing slow before they run."""
