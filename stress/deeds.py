"""Functions that actors of the stress suite are asked to run, and objects that they are sent."""

import os
import pickle


def remember(actor, thread):
    """Return which process this is, and how many messages it has remembered."""
    actor.log.append(thread)
    return os.getpid(), len(actor.log)


class View:
    """Has memory as it has come, which is a block's where it has come in one."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return View, (pickle.PickleBuffer(self.data),)

    def __eq__(self, other):
        return bytes(self.data) == bytes(other.data)

    __hash__ = None
