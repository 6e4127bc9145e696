"""`python -m facecloak.cli`: the command line, for launchers such as torchrun."""

import sys

from facecloak.cli.main import main

sys.exit(main())
