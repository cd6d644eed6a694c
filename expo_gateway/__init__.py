"""expo_gateway: an Expo-compatible push gateway and emulator."""

__version__ = "0.1.0"
