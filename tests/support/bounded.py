"""Actors with a bounded mailbox."""

import actors
import tasks


def start(kind, size, body=actors.Do, /, *args):
    return kind.actor(body).options(mailbox_size=size).executor(*args)


def fill(executor, gate, size):
    """Have the actor wait at the gate, and as many messages behind as there is room for."""
    running = executor.post((tasks.pause, gate))
    gate.reached()
    return [running, *(executor.post((tasks.echo, number), timeout=0) for number in range(size))]
