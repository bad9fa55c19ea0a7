"""`python -m sandglass`, as torchrun starts it."""

import sys

from sandglass.cli import main

sys.exit(main())
