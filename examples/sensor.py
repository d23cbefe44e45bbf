"""A sensor that is faster than what looks at it, and a bounded mailbox between them.

The recorder must not lose a reading: posting waits for room, and so the mailbox slows the sensor
down. The display needs no more than the newest readings: what finds its mailbox full is dropped.
Memory stays bounded either way.
"""

import math
import time

from futures_actors import MailboxFull, ProcessActor, ThreadActor

READINGS = 300


class Recorder(ProcessActor):
    """Keeps count, mean and variance of all readings, one at a time (Welford's method)."""

    def __init__(self):
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def handle(self, message):
        self.count += 1
        off = message - self.mean
        self.mean += off / self.count
        self.squares += off * (message - self.mean)

    def summary(self):
        return self.count, self.mean, math.sqrt(self.squares / self.count)


class Display(ThreadActor):
    """Shows readings, slowly."""

    def __init__(self):
        self.last = None

    def handle(self, message):
        time.sleep(0.005)  # paints
        self.last = message


def sense():
    """Yield readings as a device would: as fast as they are taken."""
    for tick in range(READINGS):
        yield 20 + 5 * math.sin(tick / 20)


def stream(recorder, display):
    """Give every reading to both; return how many the display had no room for."""
    dropped = 0
    for reading in sense():
        recorder.tell(reading)  # waits for room
        try:
            display.post(reading, timeout=0)
        except MailboxFull:
            dropped += 1
    return dropped


def main():
    with (
        Recorder.options(mailbox_size=16).executor() as recorder,
        Display.options(mailbox_size=2).executor() as display,
    ):
        dropped = stream(recorder, display)
        count, mean, deviation = recorder.proxy().summary().result()
    # Both have ended, and with that handled what they had accepted.
    shown = display.stats().handled
    print(f"recorded {count} of {READINGS}: mean {mean:.2f}, deviation {deviation:.2f}")
    print(f"shown {shown}, dropped {dropped}, together {shown + dropped}")


if __name__ == "__main__":
    main()
