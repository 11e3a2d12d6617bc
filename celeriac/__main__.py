"""``python -m celeriac`` is the command ``celeriac``."""

import sys

from celeriac.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
