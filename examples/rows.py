"""Rows of a file, streamed to browsers as server-sent events.

The file is read by an actor, row by row, and never further ahead than the client. A client that
goes away ends the generator, whose `finally` closes the file. Run it to see that; to serve it:

    uvicorn rows:app
"""

import asyncio
import csv
import json
from contextlib import asynccontextmanager
from importlib.resources import as_file, files

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from futures_actors import ThreadActor

FLOWERS = files("sklearn.datasets.data") / "iris.csv"


class Reader(ThreadActor):
    """Reads tables."""

    def __init__(self):
        self.open_files = 0
        self.read = 0

    def rows(self, times):
        with as_file(FLOWERS) as path, path.open() as file:
            self.open_files += 1
            try:
                for _ in range(times):
                    file.seek(0)
                    next(file)
                    for row in csv.reader(file):
                        self.read += 1
                        yield row
            finally:
                self.open_files -= 1

    def state(self):
        return {"open files": self.open_files, "read": self.read}


@asynccontextmanager
async def lifespan(app):
    async with Reader.executor() as app.state.reader:
        yield


async def rows(request):
    stream = request.app.state.reader.stream_proxy(ahead=8).rows(10_000)

    async def events():
        # Leaving the block, as when the client has gone, ends the generator.
        async with stream:
            async for row in stream:
                yield f"data: {json.dumps(row)}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def state(request):
    return JSONResponse(await request.app.state.reader.proxy().state())


app = Starlette(routes=[Route("/rows", rows), Route("/state", state)], lifespan=lifespan)


async def main():
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    serving = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 - it has no event for that
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=60) as client:
        async with client.stream("GET", "/rows") as answer:
            lines = answer.aiter_lines()
            for _ in range(3):
                line = await anext(lines)
                while not line:
                    line = await anext(lines)
                print(line)
        # The client has gone in the midst of 1,500,000 rows. The actor answers when it is free.
        found = (await client.get("/state")).json()
    print("open files:", found["open files"], " all rows were read:", found["read"] == 1_500_000)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main())
