"""The far end of the bare pipe: reads 8-byte little-endian integers and writes the answers.

`contenders.BarePipe` starts this program, which reads from stdin and writes to stdout. Its loop may
contain only the work and two system calls.
"""

import os

import work


def main():
    handle, read, write = work.Counter().handle, os.read, os.write
    while frame := read(0, 8):
        write(1, handle(int.from_bytes(frame, "little")).to_bytes(8, "little"))


if __name__ == "__main__":
    main()
