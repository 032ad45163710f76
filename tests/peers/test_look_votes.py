"""Never a fifth look: members that are cut off, killed and put back, in any order of messages."""

import random
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from appliance.datasets.ledger import LOOKS, LedgerLook
from appliance.datasets.marks import SplitMarks
from appliance.errors import StateRefused
from appliance.peers.look_votes import Answer, LooksTold, LookVoter, RegisteredLook, VoteAsked

SPLIT = SplitMarks(frozenset({"group"}), frozenset(), ("item",))
SEEDS = 1_000


@dataclass
class Kept:
    looks: dict[str, RegisteredLook] = field(default_factory=dict)
    met: set[tuple[str, str]] = field(default_factory=set)

    def add(self, one: RegisteredLook) -> None:
        self.looks.setdefault(one.look.id, one)

    def all(self) -> Iterable[RegisteredLook]:
        return list(self.looks.values())

    def sharing(self, marks: SplitMarks) -> Iterable[LedgerLook]:
        return [one.look for one in self.looks.values()]

    def heard(self, listed: str) -> frozenset[str]:
        return frozenset(member for of, member in self.met if of == listed)

    def hear(self, listed: str, member: str) -> None:
        self.met.add((listed, member))

    def copy(self) -> "Kept":
        return Kept(dict(self.looks), set(self.met))


def look(name: str) -> RegisteredLook:
    made = LedgerLook(name, 1, "t", "d", "s", "e", "test", "ada", 50_000, 1)
    return RegisteredLook(made, SPLIT)


class Sited:
    """Members whose messages, ends and backups a seed orders."""

    voter = LookVoter
    lost = 0.1

    def __init__(self, seed: int, count: int = 3) -> None:
        self.chance = random.Random(seed)
        self.names = [chr(ord("a") + n) for n in range(count)]
        self.disks = {name: Kept() for name in self.names}
        self.backups = {name: Kept() for name in self.names}
        self.cut: set[frozenset[str]] = set()
        self.taken: list[str] = []
        self.asking: dict[str, tuple[RegisteredLook, Iterator[None]]] = {}
        self.voters = {name: self.started(name) for name in self.names}
        self.back: str | None = None
        self.number = 0
        for _ in range(2):
            for name in self.names:
                self.hears(name)

    def started(self, name: str) -> LookVoter:
        return self.voter(self.disks[name], name, lambda: frozenset(self.names))

    def reach(self, one: str, other: str) -> bool:
        return frozenset({one, other}) not in self.cut

    def hears(self, name: str) -> None:
        for other in self.names:
            if other != name and self.reach(name, other):
                told: LooksTold = self.voters[other].tell()
                self.voters[name].hear(other, told)
        if name == self.back and self.voters[name].ready:
            self.back = None

    def asked(self, name: str, asked: VoteAsked) -> Answer:
        if not self.reach(name, asked.member):
            return None
        try:
            answer = self.voters[asked.member].answer(asked)
        except StateRefused:
            return None
        return None if self.chance.random() < self.lost else answer

    def looking(self, name: str, one: RegisteredLook) -> Iterator[None]:
        """Take a look, a message at a time."""
        agreeing: Generator[VoteAsked, Answer, list[LedgerLook]] = self.voters[name].agree(one)
        try:
            asked = next(agreeing)
            while True:
                yield
                answer = self.asked(name, asked)
                yield
                asked = agreeing.send(answer)
        except StopIteration as ended:
            if len(ended.value) < LOOKS:
                self.taken.append(one.look.id)
        except StateRefused:
            pass

    def step(self) -> None:
        name = self.chance.choice(self.names)
        match self.chance.choices(
            ["go", "look", "hear", "cut", "mend", "kill", "back up", "put back"],
            [200, 8, 12, 2, 8, 2, 4, 2],
        )[0]:
            case "go" if name in self.asking:
                if next(self.asking[name][1], self) is self:
                    del self.asking[name]
            case "look" if name not in self.asking:
                # a specification that was not taken is tried again
                self.number += f"{name}{self.number}" in self.taken
                one = look(f"{name}{self.number}")
                self.asking[name] = one, self.looking(name, one)
            case "hear":
                self.hears(name)
            case "cut":
                self.cut.add(frozenset({name, self.chance.choice(self.names)}))
            case "mend":
                self.cut.clear()
            case "kill":
                self.restart(name)
            case "back up":
                self.backups[name] = self.disks[name].copy()
            case "put back" if self.back is None:
                self.disks[name] = self.backups[name].copy()
                self.restart(name)
                self.back = name
            case _:
                pass

    def restart(self, name: str) -> None:
        self.asking.pop(name, None)
        self.voters[name] = self.started(name)


class Forgetful(LookVoter):
    """A control: a member that was put back answers at once."""

    @property
    def ready(self) -> bool:
        return True


class Hasty(LookVoter):
    """A control: looks are counted while they are registered."""

    def agree(self, one: RegisteredLook) -> Generator[VoteAsked, Answer, list[LedgerLook]]:
        seen, votes = dict[str, LedgerLook](), 1
        self.answer(VoteAsked(self._hint, "register", self.listed, one))
        for member in sorted(self._members() - {self._hint}, key=lambda m: (m > self._hint, m)):
            answer = yield VoteAsked(member, "register", self.listed, one)
            if answer is not None:
                votes += 1
                seen |= {look.id: look for look in answer}
            if votes >= self.majority:
                break
        if votes < self.majority:
            raise StateRefused("looks_unagreed", "")
        return [look for look in seen.values() if look.id != one.look.id]


def taken(seeds: Iterable[int], voter: type[LookVoter], count: int = 3) -> Iterator[int]:
    for seed in seeds:
        made = type("S", (Sited,), {"voter": voter})(seed, count)
        for _ in range(300 * count):
            made.step()
        yield len(made.taken)


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3, 5])
def test_never_a_fifth_look(count: int) -> None:
    found = list(taken(range(SEEDS if count == 3 else SEEDS // 5), LookVoter, count))
    assert max(found) == LOOKS
    assert sum(number == LOOKS for number in found) > len(found) / 20  # and not for lack of looks


@pytest.mark.long
@pytest.mark.parametrize("control", [Forgetful, Hasty])
def test_the_controls_take_a_fifth_look(control: type[LookVoter]) -> None:
    assert any(number > LOOKS for number in taken(range(SEEDS), control))


def test_two_members_need_each_other() -> None:
    site = Sited(1, 2)
    site.cut.add(frozenset("ab"))
    list(site.looking("a", look("x")))
    assert site.taken == []
    site.cut.clear()
    site.lost = 0
    list(site.looking("a", look("x")))  # the same specification, again
    assert site.taken == ["x"]


def test_another_list_begins_anew() -> None:
    site = Sited(2)
    site.names.append("d")
    site.disks["d"] = Kept()
    site.voters["d"] = site.started("d")
    assert not any(voter.ready for voter in site.voters.values())
    site.disks["d"].add(look("of before"))
    for name in site.names:
        site.hears(name)
    assert all(voter.ready for voter in site.voters.values())
    assert all("of before" in disk.looks for disk in site.disks.values())
