# An actor in a process: orders wait their turn, one of them is cancelled, and callbacks say how
# each ended. The program needs no main guard.
import time
from concurrent.futures import CancelledError

from futures_actors import ProcessActor


class Kitchen(ProcessActor):
    def __init__(self, cook, seconds=1.0):
        self.cook = cook
        self.seconds = seconds
        self.served = []

    def handle(self, order):
        action = order["action"]
        if action == "cook":
            time.sleep(self.seconds)
            self.served.append(order["dish"])
            return f"{order['dish']} by {self.cook}"
        if action == "visit":
            return self
        raise ValueError(f"nobody here can {action}")


def report(future):
    # Callbacks run in this process, in the order in which the messages end.
    try:
        print("ready:", future.result())
    except CancelledError:
        print("cancelled")
    except ValueError as error:
        print("refused:", error)


with Kitchen.executor("Ada", seconds=0.2) as kitchen:
    dishes = ["soup", "salad", "fish", "cake"]
    orders = [kitchen.post({"action": "cook", "dish": dish}) for dish in dishes]
    orders.append(kitchen.post({"action": "juggle"}))
    is_cancelled = orders[3].cancel()  # the cake has not begun yet
    for order in orders:
        order.add_done_callback(report)
    visited = kitchen.post({"action": "visit"}).result()

print(visited.cook, "has served", ", ".join(visited.served))
print("no cake:", is_cancelled, " a kitchen:", isinstance(visited, Kitchen))
