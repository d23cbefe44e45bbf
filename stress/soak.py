"""Starts and stops many actors and sends many messages.

Every answer must be right, and the process must not hold more and more.
"""

import threading
import time

import actors
from residents import PATIENCE, leaks_since, mapped_bytes, resident_bytes, snapshot

BATCH = 2000
#: How much the resident memory may grow in the second half.
GROWTH_BYTES = 16 << 20


class Figures:
    def __init__(self):
        self.actors = self.messages = 0
        self.lock = threading.Lock()
        self.grown = self.seconds = 0

    def __str__(self):
        rate = self.messages / self.seconds
        return (
            f"{self.actors} actors and {self.messages} messages in {self.seconds:.0f} s "
            f"({rate:,.0f}/s); resident memory grew by {self.grown / 2**20:.1f} MiB in the second "
            "half; shared memory 0, lost 0, leaks 0"
        )


def run(*, starts=2000, messages=5_000_000, threads=4, warm=8):
    """Do half of the work, measure, do the other half, and measure again."""
    figures = Figures()
    start = time.monotonic()
    work(figures, warm, BATCH * warm, threads)  # so that whatever is created only once exists
    before, mapped = snapshot(), mapped_bytes()
    for _ in range(2):
        resident = resident_bytes()
        work(figures, starts // 2, messages // 2, threads)
        figures.grown = resident_bytes() - resident
        left = leaks_since(before)
        assert not left, left
        assert mapped_bytes() <= mapped, f"{mapped_bytes()} bytes of shared memory, not {mapped}"
    assert figures.grown < GROWTH_BYTES, f"{figures.grown} bytes more than before"
    figures.seconds = time.monotonic() - start
    return figures


def work(figures, starts, messages, threads):
    """Split the work between threads. Every fourth actor is a thread actor."""
    failures = []

    def body(number):
        try:
            for index in range(number, starts, threads):
                kind = actors.ThreadCounter if index % 4 == 3 else actors.ProcessCounter
                one_actor(figures, kind, messages // starts)
        except BaseException as error:
            failures.append(error)

    all_of_them = [threading.Thread(target=body, args=(number,)) for number in range(threads)]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join()
    if failures:
        raise failures[0]


def one_actor(figures, kind, count):
    """Start an actor that adds ones: its last answer must be the number of messages."""
    sent = 0
    with kind.executor() as executor:
        while sent < count:
            batch = min(BATCH, count - sent)
            futures = [executor.post(1) for _ in range(batch)]
            answers = [future.result(PATIENCE) for future in futures]
            assert answers == list(range(sent + 1, sent + batch + 1)), "lost or out of order"
            sent += batch
        if kind is actors.ProcessCounter:
            big = bytearray(b"b" * 200_000)
            assert executor.submit(bytearray, big).result(PATIENCE) == big
    with figures.lock:
        figures.actors += 1
        figures.messages += sent
