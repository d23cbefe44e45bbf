"""The objects that do the work, and the functions by which the child of a pool reaches its object.

Every child imports this file, so it must not import anything. It must not know which contender is
measured.
"""

PAGE_ITEMS = 512  # 64-bit items in a page of 4,096 bytes


class Counter:
    """Counts messages: the answer shows whether a message, the order or the state was lost."""

    def __init__(self):
        self.count = 0

    def handle(self, message):
        self.count += 1
        return message + self.count


class Signer(Counter):
    """Reads each page of a 64-bit array, puts the count into its first item, and echoes it."""

    def handle(self, array):
        self.count += 1
        read_pages(array)
        array[0] = self.count
        return array


class Reader(Counter):
    """Reads each page of an array and answers only with the count."""

    def handle(self, array):
        self.count += 1
        read_pages(array)
        return self.count


class Gate(Counter):
    """A Counter that waits when a message names a FIFO, until the FIFO's writing end is closed."""

    def handle(self, message):
        if isinstance(message, str):
            wait_for_end_of_file(message)
            message = 0
        return super().handle(message)


def read_pages(array):
    """Read one item of every page, so that the time to map untouched memory counts too."""
    return int(array[::PAGE_ITEMS].max())


#: The kernel reports here the state of the thread that opens the file.
THREAD_STATUS = "/proc/thread-self/stat"


def cpu():
    """Return the number of the CPU that the calling thread runs on."""
    with open(THREAD_STATUS) as file:  # noqa: PTH123 - no import here
        # Count the fields after the name, because the name may contain spaces and parentheses.
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
    """Create the object that later calls share. This is the initializer of a pool's process."""
    _kept[:] = [JOBS[job]()]


def handle(message):
    return _kept[0].handle(message)


def serve(connection, job):
    """The loop that a programmer writes by hand with `multiprocessing.Pipe`."""
    kept = JOBS[job]()
    try:
        while True:
            connection.send(kept.handle(connection.recv()))
    except EOFError:
        return


def serve_shared(connection, job):
    """The same with `multiprocessing.shared_memory`: gets a name, then the shapes of its arrays."""
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
