"""A model in a pool of process actors, awaited by a web server.

Each process loads the model once, so that predicting neither blocks the server's loop nor holds its
GIL, and the one that is idle takes the next request. Run it to see a few requests, and how many
predictions it makes beside a `ProcessPoolExecutor` with an initializer; to serve, install uvicorn:

    uvicorn model_server:app
"""

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager

import httpx
from sklearn.datasets import load_digits
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from futures_actors import ProcessActor

PROCESSES = 2
REQUESTS = 2000


class Digits(ProcessActor[list[list[float]], list[int]]):
    """Reads handwritten digits: rows of 64 grey values in, digits out."""

    def __init__(self):
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        images, labels = load_digits(return_X_y=True)
        self.model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
        self.model.fit(images[:1500], labels[:1500])  # the others are for the requests below

    def handle(self, message):
        return self.model.predict(message).tolist()


@asynccontextmanager
async def lifespan(app):
    async with Digits.pool(PROCESSES).executor() as app.state.digits:
        yield


async def predict(request):
    images = await request.json()
    if not all(len(image) == 64 for image in images):
        return JSONResponse({"error": "an image has 64 values"}, status_code=400)
    try:
        # A client that goes away, or a server that gives up, takes the message out of the mailbox.
        digits = await asyncio.wait_for(request.app.state.digits.post(images), timeout=30)
    except asyncio.TimeoutError:
        return JSONResponse({"error": "too busy"}, status_code=503)
    return JSONResponse({"digits": digits})


app = Starlette(routes=[Route("/predict", predict, methods=["POST"])], lifespan=lifespan)


class InPool:
    """The same model as a global of a pool's processes, which its initializer sets."""

    @classmethod
    def load(cls):
        cls.model = Digits()

    @classmethod
    def handle(cls, message):
        return cls.model.handle(message)


def measure(answers):
    """Return how many answers a second come in, once the processes have started."""
    next(answers)
    started = time.perf_counter()
    return sum(1 for _ in answers) / (time.perf_counter() - started)


def compare(images):
    """Show how many predictions a second a pool of actors makes, and the standard library's."""
    messages = [images[n % len(images)][None].tolist() for n in range(REQUESTS)]
    with Digits.pool(PROCESSES).executor() as digits:
        print(f"pool of actors: {measure(digits.imap(messages)):,.0f} predictions/s")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawn, initializer=InPool.load) as executor:
        rate = measure(executor.map(InPool.handle, messages))
        print(f"ProcessPoolExecutor: {rate:,.0f} predictions/s")


async def main():
    images, labels = load_digits(return_X_y=True)
    images, labels = images[1500:], labels[1500:].tolist()
    transport = httpx.ASGITransport(app)
    client = httpx.AsyncClient(transport=transport, base_url="http://here")
    async with lifespan(app), client:

        async def ask(start):
            answer = await client.post(
                "/predict", json=images[start : start + 10].tolist(), timeout=60
            )
            return answer.raise_for_status().json()["digits"]

        answers = await asyncio.gather(*(ask(start) for start in range(0, len(images), 10)))
        refused = await client.post("/predict", json=[[0.0]])
    read = [digit for answer in answers for digit in answer]
    right = sum(map(int.__eq__, read, labels))
    print(f"{len(answers)} requests at once, {len(read)} digits, {right / len(read):.0%} right")
    print(f"a wrong request: {refused.status_code} {refused.json()['error']}")


if __name__ == "__main__":
    asyncio.run(main())
    compare(load_digits(return_X_y=True)[0])
