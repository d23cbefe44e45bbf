"""The objects that every contender keeps, and how the child of a pool reaches its own.

Every child imports this file, so it must import nothing. Nothing here may know who is measured.
"""

PAGE_ITEMS = 512  # 64-bit items in a page of 4,096 bytes


class Counter:
    """Its answer depends on every message before, so lost state, order or messages show."""

    def __init__(self):
        self.count = 0

    def handle(self, message):
        self.count += 1
        return message + self.count


class Signer(Counter):
    """Echoes a 64-bit array, having read each page and put the count into its first item."""

    def handle(self, array):
        self.count += 1
        read_pages(array)
        array[0] = self.count
        return array


class Reader(Counter):
    """Reads each page of an array and answers with the count alone."""

    def handle(self, array):
        self.count += 1
        read_pages(array)
        return self.count


class Gate(Counter):
    """A Counter that a message naming a FIFO holds up until its writing end is closed."""

    def handle(self, message):
        if isinstance(message, str):
            wait_for_end_of_file(message)
            message = 0
        return super().handle(message)


def read_pages(array):
    """Read an item of every page, so that mapped memory that was not copied costs time here."""
    return int(array[::PAGE_ITEMS].max())


#: The state of the thread that opens it, as the kernel tells it.
THREAD_STATUS = "/proc/thread-self/stat"


def cpu():
    """The CPU that the calling thread runs on."""
    with open(THREAD_STATUS) as file:  # noqa: PTH123 - no import here
        # Fields are counted from the one after the name, which may have any character.
        return int(file.read().rpartition(")")[2].split()[36])


def wait_for_end_of_file(path):
    import os

    fd = os.open(path, os.O_RDONLY)
    try:
        while os.read(fd, 1):
            pass
    finally:
        os.close(fd)


JOBS = {"Counter": Counter, "Signer": Signer, "Reader": Reader, "Gate": Gate}

_kept = []


def keep(job):
    """Initializer of a pool's process: make the object that its later calls share."""
    _kept[:] = [JOBS[job]()]


def handle(message):
    return _kept[0].handle(message)


def serve(connection, job):
    """The hand-written loop: what one writes today with `multiprocessing.Pipe`."""
    kept = JOBS[job]()
    try:
        while True:
            connection.send(kept.handle(connection.recv()))
    except EOFError:
        return


def serve_shared(connection, job):
    """The same with `multiprocessing.shared_memory`: a name, then shapes of what is in it."""
    from multiprocessing import shared_memory

    kept = JOBS[job]()
    memory = array = None
    try:
        while True:
            message = connection.recv()
            if isinstance(message, str):
                array = None
                if memory is not None:
                    memory.close()
                memory = shared_memory.SharedMemory(message)
                continue
            array = array_in(memory, *message)
            answer = kept.handle(array)
            connection.send(None if answer is array else answer)
            del answer
    except EOFError:
        array = None
        if memory is not None:
            memory.close()


def array_in(memory, shape, dtype):
    import numpy as np

    return np.ndarray(shape, dtype, memory.buf)
