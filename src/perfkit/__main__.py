"""``python -m perfkit``: the same program as ``perfkit``."""

import sys

from perfkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
