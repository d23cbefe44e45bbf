"""A model server with streaming: tokens go to the client one by one, while the model writes them.

The model lives in a process; the server awaits its stream. A client that goes away ends the
generator, and the model is free for the next one. It is small: which word follows two others.
"""

import asyncio
import random
from collections import defaultdict
from contextlib import aclosing, suppress
from urllib.parse import parse_qs, urlsplit

from futures_actors import ProcessActor

TEXT = """
An actor keeps its state and an actor takes one message at a time and answers each message with a
future and a future ends with an answer or with an error and an error says what went wrong and a
message that waits can be taken back and an actor that fails can be started again
"""


class Model(ProcessActor):
    """Writes on, from a word."""

    def __init__(self, text):
        self.following = defaultdict(list)
        words = text.split()
        for word, after in zip(words, [*words[1:], words[0]], strict=True):
            self.following[word].append(after)
        self.begun = self.ended = 0

    def handle(self, prompt):
        self.begun += 1
        try:
            word = prompt
            while True:  # never stops by itself
                word = random.choice(self.following.get(word) or ["an"])
                yield word
        finally:
            self.ended += 1

    def state(self):
        return self.begun, self.ended


async def serve(model, reader, writer):
    """Answer one request by server-sent events."""
    target = (await reader.readline()).split()[1].decode()
    (prompt,) = parse_qs(urlsplit(target).query)["prompt"]
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    try:
        async with model.stream(prompt) as tokens:
            async for token in tokens:
                writer.write(f"data: {token}\n\n".encode())
                await writer.drain()
    except ConnectionError:
        pass  # the client has gone, and the block has ended the generator
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def ask(address, prompt):
    """Yield the tokens that the server sends."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(f"GET /?prompt={prompt} HTTP/1.0\r\n\r\n".encode())
        async for line in reader:
            if line.startswith(b"data: "):
                yield line[6:].decode().strip()
    finally:
        writer.close()


async def main():
    async with Model.executor(TEXT) as model:
        server = await asyncio.start_server(lambda *pipe: serve(model, *pipe), "127.0.0.1", 0)
        async with server:
            for prompt in ("actor", "future"):
                async with aclosing(ask(server.sockets[0].getsockname(), prompt)) as tokens:
                    written = []
                    async for token in tokens:
                        written.append(token)
                        if len(written) == 8:
                            break  # and go away
                print(prompt, *written)
        print("begun and ended:", await model.proxy().state())


if __name__ == "__main__":
    asyncio.run(main())
