"""`python -m expo_gateway` is `expo-gateway`."""

import sys

from expo_gateway.cli import main

if __name__ == "__main__":
    sys.exit(main())
