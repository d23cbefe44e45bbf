# An actor on a thread: it keeps its state, and handles one message after the other.
from futures_actors import ThreadActor


class Account(ThreadActor):
    def __init__(self, balance=0):
        self.balance = balance

    def handle(self, amount):
        if self.balance + amount < 0:
            raise ValueError(f"only {self.balance} left")
        self.balance += amount
        return self.balance


account = Account.executor(balance=100)
futures = [account.post(amount) for amount in (50, -200, -40)]
print(futures[0].result(), repr(futures[1].exception()), futures[2].result())
account.shutdown()
