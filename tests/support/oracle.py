"""The oracle: a one-worker pool of the standard library around a body of `actors`, with `post`.
What it does, our actors must do. The pools construct their object at the first post."""

import multiprocessing
from concurrent import futures

_body = None


class ThreadOracle(futures.ThreadPoolExecutor):
    def __init__(self, body, *args, **kw):
        self._box = box = []
        super().__init__(1, initializer=lambda: box.append(body(*args, **kw)))

    def post(self, message):
        return self.submit(_handle_in_thread, self._box, message)


class ProcessOracle(futures.ProcessPoolExecutor):
    def __init__(self, body, *args, **kw):
        context = multiprocessing.get_context("spawn")
        super().__init__(1, context, initializer=_construct, initargs=(body, args, kw))

    def post(self, message):
        return self.submit(_handle_in_process, message)


def _handle_in_thread(box, message):
    return box[0].handle(message)


def _construct(body, args, kw):
    global _body  # noqa: PLW0603 -- how a pool keeps state: the very reason for actors
    _body = body(*args, **kw)


def _handle_in_process(message):
    return _body.handle(message)
