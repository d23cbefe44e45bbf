"""The far end of the bare pipe: 8-byte little-endian integers in at stdin, answers out at stdout.

A program of its own that `contenders.BarePipe` starts. Nothing but two system calls and the work
may be in its loop.
"""

import os

import work


def main():
    handle, read, write = work.Counter().handle, os.read, os.write
    while frame := read(0, 8):
        write(1, handle(int.from_bytes(frame, "little")).to_bytes(8, "little"))


if __name__ == "__main__":
    main()
