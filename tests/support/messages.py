"""Messages for an actor of class `Do` that a method reads one by one."""

import tasks


class Messages:
    """Gives out messages and says how many it has given."""

    def __init__(self, messages):
        self.messages = iter(messages)
        self.read = 0

    def __iter__(self):
        return self

    def __next__(self):
        message = next(self.messages)
        self.read += 1
        return message


def echoes(numbers):
    return ((tasks.echo, number) for number in numbers)
