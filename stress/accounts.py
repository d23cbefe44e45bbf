"""Compares what the actors of a graph have written down with what they may do."""

from collections import Counter, defaultdict

#: With these a future may fail although no process was killed: its message was not accepted.
NO_ROOM = {"MailboxFull", "ActorDeadlock"}
#: What is said of a message at most once.
ONCE = {"sends", "sent", "refused", "began", "ended", "stopped", "done"}


class Account:
    def __init__(self, plan, killed, text):
        self.plan, self.killed = plan, killed
        self.lines = [line.split() for line in text.splitlines()]
        #: By what was written down: by the number of the message, what else the line says.
        self.said = defaultdict(dict)
        self.pairs = 0
        self.count = Counter(line[0] for line in self.lines)
        for what, *rest in self.lines:
            if what in ("circle", "wrong"):
                continue
            number = int(rest[0])
            assert number not in self.said[what] or what not in ONCE, f"twice: {what} {rest}"
            self.said[what][number] = rest[1:]

    def check(self, figures):
        wrong = [line for line in self.lines if line[0] == "wrong"]
        assert not wrong, wrong
        self.check_circles()
        self.check_order()
        for number in self.plan.messages:
            self.check_message(number)
        for number, (kind, *started) in self.said["done"].items():
            self.check_future(number, kind, started == ["True"])
        ends = Counter(kind for kind, *_ in self.said["done"].values())
        figures.update(
            sends=self.count["sends"],
            futures=sum(ends.values()),
            answered=ends["answered"],
            cancelled=ends["cancelled"],
            failed=sum(ends.values()) - ends["answered"] - ends["cancelled"],
            refused=self.count["refused"],
            circles=self.count["circle"],
            pairs=self.pairs,
        )

    def check_circles(self):
        names = {options["name"] for _, options in self.plan.actors}
        for what, *circle in self.lines:
            if what == "circle":
                assert self.plan.has_circles, f"there is no circle: {circle}"
                assert circle, "an empty circle"
                assert set(circle) <= names, circle

    def check_order(self):
        """Check that each actor begins messages in causal order.

        A sender knows of what it has sent, and of what the senders of its messages and of its
        answers knew. If the sender of a message knew of another to the same actor, that must not
        begin later. Messages of one sender are a case of this, and so is a triangle. What waits for
        room in `apost` or `atell` has not been sent yet: others may come first.
        """
        knows = defaultdict(int)  # by sender: a set of messages, a bit for each
        knew, knew_at_end = {}, {}
        begun = defaultdict(list)
        for what, *rest in self.lines:
            if what not in ("sends", "sent", "began", "ended", "heard"):
                continue
            number, name = int(rest[0]), rest[1]
            if what == "sends":
                knew[number] = knows[name] | 1 << number
                if len(rest) == 2:
                    knows[name] = knew[number]
            elif what == "sent":
                knows[name] |= knew[number]
            elif what == "ended":
                knew_at_end[number] = knows[name]
            elif what == "heard":
                knows[name] |= knew_at_end[number]
            else:
                target = self.plan.messages[number].target
                assert name.split(".")[0] == str(target), f"{number} is at {name}"
                late = [other for other in begun[target] if knew[other] >> number & 1]
                assert not late, f"n{target} begins {number} after {late}"
                self.pairs += sum(knew[number] >> other & 1 for other in begun[target])
                knows[name] |= knew[number]
                begun[target].append(number)

    def sender_of(self, number):
        """Return the index of the actor that has sent a message, None for the program."""
        name = self.said["sends"][number][0]
        index = name.split(".")[0]
        return None if index == "None" else int(index)

    def check_message(self, number):
        said = self.said
        if number not in said["sends"]:
            assert number not in said["began"], f"nobody has sent {number}"
            return
        ends = [what for what in ("cancelled", "refused", "began") if number in said[what]]
        assert len(ends) <= 1, f"{number}: {ends}"
        target, sender = self.plan.messages[number].target, self.sender_of(number)
        if {target, sender} & self.killed:
            return
        if number in said["done"]:
            kind = said["done"][number][0]
            assert ends or kind in NO_ROOM | {"cancelled"}, f"{number} is lost: {kind}"
        else:
            assert ends, f"{number} is lost"
        if ends == ["began"]:
            assert (number in said["ended"]) != (number in said["stopped"]), f"{number} is stuck"

    def check_future(self, number, kind, started):
        said = {what for what in self.said if number in self.said[what]}
        message = self.plan.messages[number]
        _, options = self.plan.actors[message.target]
        about = f"{number}: {kind}, {sorted(said)}"
        if kind == "answered":
            assert "began" in said, about
            assert number in self.plan.streams or "ended" in said, about
        elif kind == "cancelled":
            if "cancelled" in said:
                assert "began" not in said, about
            elif number not in self.plan.streams:
                assert "tries" in said or self.sender_of(number) in self.killed, about
                assert ("began" in said) == ("stopped" in said), about
        elif kind in NO_ROOM:
            assert "began" not in said, about
            assert options["mailbox_size"] is not None, about
        else:
            assert kind in ("ActorDied", "BrokenActor"), about
            assert message.target in self.killed, about
            assert kind == "BrokenActor" or started or "began" not in said, about
            if options["max_restarts"] == 1000:
                assert kind == "ActorDied", about
                assert started, about
