"""One SQLite connection, shared by many threads.

A connection may be used by the thread that made it, and by no other. So make it in an actor's
thread; every other thread calls its methods, each of which is a transaction.
"""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

from futures_actors import ThreadActor


class Accounts(ThreadActor):
    def __init__(self, path):
        self.connection = sqlite3.connect(path)
        with self.connection:
            self.connection.execute(
                "CREATE TABLE accounts"
                " (name TEXT PRIMARY KEY, balance INTEGER CHECK (balance >= 0))"
            )

    def open(self, name, balance):
        with self.connection:
            self.connection.execute("INSERT INTO accounts VALUES (?, ?)", (name, balance))

    def move(self, amount, source, target):
        """Move money, or raise and change nothing."""
        with self.connection:
            for name, change in ((target, amount), (source, -amount)):
                self.connection.execute(
                    "UPDATE accounts SET balance = balance + ? WHERE name = ?", (change, name)
                )

    def balances(self):
        return dict(self.connection.execute("SELECT name, balance FROM accounts ORDER BY name"))


def main():
    with Accounts.executor(":memory:") as executor:
        accounts = executor.proxy()
        for name in ("Ada", "Bert"):
            accounts.open(name, 1000)

        # Sixteen threads, one connection, no lock.
        with ThreadPoolExecutor(16) as pool:
            moves = [pool.submit(accounts.move, 1, "Ada", "Bert") for _ in range(400)]
            for move in moves:
                move.result().result()

        too_much = accounts.move(5000, "Ada", "Bert")
        print("too much:", type(too_much.exception()).__name__)
        print(accounts.balances().result())


if __name__ == "__main__":
    main()
