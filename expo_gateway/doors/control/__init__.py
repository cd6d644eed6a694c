"""The control API, `/_gateway/v1`: a test sees, waits, breaks and moves what belongs to one world.

Contract: `expo_gateway/openapi.json`.
"""
