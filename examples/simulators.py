"""A pool of simulators with keys: each world lives in one process, whoever asks about it.

A world is a city whose people catch a cold from each other. Its name is the key, so all messages
about it go, in order, to the process that keeps it. A message without a key takes any idle process.
"""

import random

from futures_actors import ProcessActor

CITIES = ["Oslo", "Lima", "Pune", "Rome", "Cork", "Bern"]


class Simulator(ProcessActor):
    """Keeps the worlds that it was told of."""

    def __init__(self, people):
        self.people, self.worlds = people, {}

    def begin(self, city, infectious):
        self.worlds[city] = World(city, self.people, infectious)

    def run(self, city, days):
        """Go on with a world; return how many had the cold so far."""
        world = self.worlds[city]
        for _ in range(days):
            world.pass_day()
        return world.people - world.healthy

    def kept(self):
        return sorted(self.worlds)


class World:
    """Healthy people, ill ones, and those who had it."""

    def __init__(self, city, people, infectious):
        self.random = random.Random(city)
        self.people, self.infectious = people, infectious
        self.healthy, self.ill = people - 1, 1

    def pass_day(self):
        risk = 1 - (1 - self.infectious / self.people) ** self.ill
        caught = sum(self.random.random() < risk for _ in range(self.healthy))
        recovered = sum(self.random.random() < 0.3 for _ in range(self.ill))
        self.healthy -= caught
        self.ill += caught - recovered


def main():
    with Simulator.pool(3).executor(people=2000) as pool:
        for city in CITIES:
            pool.keyed(city).proxy().begin(city, infectious=0.6).result()
        # Ten days at a time for every city; the next ten find the world where it was left.
        for _ in range(3):
            days = {city: pool.keyed(city).proxy().run(city, days=10) for city in CITIES}
        for city, ill in days.items():
            print(f"{city}: {ill.result()} of 2000 have had it")
        for member in pool.members:
            print(member.name, "keeps", *member.proxy().kept().result())


if __name__ == "__main__":
    main()
