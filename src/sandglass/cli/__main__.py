"""`python -m sandglass.cli`."""

import sys

from sandglass.cli import main

sys.exit(main())
