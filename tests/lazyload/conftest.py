"""The fixtures of lazy_sites.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this file, whatever pytest's import mode

from lazy_sites import *  # noqa: F403 (after the path to it; fixtures are found by their names)
