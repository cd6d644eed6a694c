"""What Home Assistant, its apps and its relay say to each other on the wire: pure."""
