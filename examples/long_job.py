"""A long job with progress and a stop button.

The job is a generator in a process: it yields how far it is. The window here is the terminal, and
its stop button is a timer; a real one sets `stop` from the event loop of its toolkit.
"""

import threading

from futures_actors import ProcessActor


class Estimate(ProcessActor):
    """Estimates pi by the numbers that have no common divisor, and keeps what it has."""

    def __init__(self):
        self.tried = self.coprime = 0

    def handle(self, rounds):
        import math
        import random

        try:
            for step in range(1, rounds + 1):
                for _ in range(1000):
                    pair = random.getrandbits(32), random.getrandbits(32)
                    self.coprime += math.gcd(*pair) == 1
                self.tried += 1000
                yield step / rounds
        finally:  # also when the button was pressed: GeneratorExit comes out of the yield
            self.pi = math.sqrt(6 * self.tried / max(1, self.coprime))
        return self.pi

    def so_far(self):
        return self.tried, self.pi


def run(estimate, rounds, stop):
    """Show progress until the job is done or `stop` is set; return what it found, or None."""
    with estimate.stream(rounds) as progress:
        for fraction in progress:
            print(f"\r{fraction:7.2%}", end="", flush=True)
            if stop.is_set():
                print("  stopped")
                return None  # leaving the block ends the generator at its next yield
    print("  done")
    return progress.future.result()


def main():
    stop = threading.Event()
    with Estimate.executor() as estimate:
        print(f"pi is about {run(estimate, 20, stop):.1f}")
        button = threading.Timer(0.2, stop.set)
        button.start()
        run(estimate, 10**9, stop)
        tried, pi = estimate.proxy().so_far().result()
        print(f"what it had when it was stopped: {pi:.1f}, by {tried:,} pairs")


if __name__ == "__main__":
    main()
