"""`make bench`: the entry, and nothing else. Children of the pools import this file again as their
main module, so it must import nothing that they do not need; the work is in `cli.py`.
"""

import sys

if __name__ == "__main__":
    from cli import main

    sys.exit(main())
