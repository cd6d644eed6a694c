"""Senders of pushes, each a script: `python -m benchmarks.clients.NAME JSON`, with a line of JSON at its end."""
