"""What Home Assistant wants of us: its push relay, its phones' registrations and local push, its services."""
