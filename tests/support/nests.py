"""Process actors that start process actors, which start others, as deep as a message says."""

import os
from pathlib import Path

from futures_actors import ProcessActor

PATIENCE = 50


class Nest(ProcessActor):
    """A message is `(names, function, *args)`. Each name is that of an actor that the one before
    has started, or starts now. The last one returns what the function returns."""

    def __init__(self):
        self.inner = {}

    def handle(self, message):
        names, function, *args = message
        if not names:
            return function(self, *args)
        first, *others = names
        if first not in self.inner:
            self.inner[first] = Nest.executor()
        return self.inner[first].post((others, function, *args)).result(PATIENCE)


def ask(nest, names, function, *args):
    """Ask the actor that is reached from the executor `nest` by the characters of `names`."""
    return nest.post(([*names], function, *args)).result(PATIENCE)


def pids(actor):
    """Return the process, and the one that has forked it."""
    return os.getpid(), os.getppid()


def call(actor, function, *args):
    return function(*args)


def death_of(actor, name, function, *args):
    """Have an inner actor call a function that ends its process; return how that was told."""
    died = actor.inner[name].post(([], function, *args)).exception(PATIENCE)
    return type(died).__name__, died.pid, died.exitcode


def end(actor, name):
    """Shut an inner actor down."""
    actor.inner.pop(name).shutdown()


def start_with(actor, name, options):
    actor.inner[name] = Nest.options(**options).executor()


def start_many(actor, number):
    """Start inner actors from as many threads at once; return what `pids` returns in each."""
    from concurrent.futures import ThreadPoolExecutor

    def start(name):
        actor.inner[name] = Nest.executor()
        return ask(actor.inner[name], "", pids)

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(start, range(number)))


def sockets(pid):
    """Return the numbers of a process's descriptors that are sockets."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if str(entry.readlink()).startswith("socket:"):
                found.append(int(entry.name))
        except FileNotFoundError:  # closed meanwhile
            continue
    return sorted(found)
