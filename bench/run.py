"""The entry point of `make bench`.

Children of the pools import this file again as their main module, so it must not import anything
that they do not need. `cli.py` does the work.
"""

import sys

if __name__ == "__main__":
    from cli import main

    sys.exit(main())
