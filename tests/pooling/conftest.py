"""What tests of the pools share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this file, whatever pytest's import mode

from smtp_fixtures import *  # noqa: F403 (fixtures are found by their names)
