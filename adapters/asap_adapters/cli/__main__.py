"""`python -m asap_adapters.cli` is `asap`."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
