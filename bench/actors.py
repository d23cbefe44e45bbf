"""The objects of `work.py` as actors. The only file that imports futures_actors.

The child of a process actor imports it, so these classes may add nothing but their base class.
"""

import work

from futures_actors import ProcessActor, ThreadActor


class ThreadCounter(work.Counter, ThreadActor):
    pass


class ThreadGate(work.Gate, ThreadActor):
    pass


class ProcessCounter(work.Counter, ProcessActor):
    pass


class ProcessSigner(work.Signer, ProcessActor):
    pass


class ProcessGate(work.Gate, ProcessActor):
    pass


class ProcessReader(work.Reader, ProcessActor):
    pass
