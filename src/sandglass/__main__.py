"""``python -m sandglass`` is ``sandglass``, for an environment whose scripts are not on the path."""

import sys

from sandglass.cli import main

sys.exit(main())
