"""Stages of a pipeline of actors: each tells its messages to the next, and says at its end how many
it has had."""

import sys
import time
from collections import Counter

from futures_actors import ProcessActor, ThreadActor


class Stage:
    def __init__(self, name, after=None):
        self.name, self.after, self.seen = name, after, 0

    def handle(self, message):
        time.sleep(0.001)  # so that the program ends before the pipeline
        self.seen += 1
        if self.after is not None:
            self.after.tell(message + 1)

    def on_stop(self):
        sys.stdout.write(f"{self.name} {self.seen}\n")
        sys.stdout.flush()


class ProcessStage(Stage, ProcessActor):
    pass


class ThreadStage(Stage, ThreadActor):
    pass


def seen(out):
    """Return how many messages the stages of each name had, as a program has printed."""
    counts = Counter()
    for line in out.splitlines():
        name, count = line.split()
        counts[name] += int(count)
    return counts
