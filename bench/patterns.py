"""In which order messages are posted and answers taken. Children import it, too.

Each takes two functions, of which the first posts a message and returns a ticket for the second.
"""

from collections import deque

DEPTH = 64


def one_at_a_time(post, take, messages):
    return [take(post(message)) for message in messages]


def all_then_wait(post, take, messages):
    tickets = [post(message) for message in messages]
    return [take(ticket) for ticket in tickets]


def sliding_window(post, take, messages):
    window, answers = deque(), []
    for message in messages:
        if len(window) == DEPTH:
            answers.append(take(window.popleft()))
        window.append(post(message))
    answers.extend(take(ticket) for ticket in window)
    return answers
