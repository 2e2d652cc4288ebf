"""``python -m autodiff`` is the command ``autodiff``."""

import sys

from .cli import main

sys.exit(main())
