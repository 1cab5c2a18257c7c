"""What people do to a running net from a monitor: drain a broker, take a node out of work, put it back."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from msgspec import Struct

from braidmq.node import Node
from braidmq.operating import Answer, all_done
from braidmq.printable import printable

Operation = Literal["drain", "take_out", "put_back"]

OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)

_DONE: Final[Mapping[Operation, tuple[str, str]]] = {
    "drain": ("{name} drains", "{name} does not drain"),
    "take_out": ("{name} is out", "{name} is not out"),
    "put_back": ("{name} is back", "{name} is not back"),
}
"""What is said if it was done, and if it was not."""


class Operated(Struct):
    """What became of an operation.

    Attributes:
        ok: whether it is as was asked for.
        text: a sentence about it.
        brokers: what each of them has said, by its name.
    """

    ok: bool
    text: str
    brokers: dict[str, str]


class Operations:
    """Asks the brokers.

    Args:
        node: asks; its certificate needs the right to operate.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def allowed(self) -> bool:
        """Whether the monitor has the right."""
        return self._node.operate.allowed

    async def make(self, operation: Operation, name: str) -> Operated:
        """Do something to a broker (`drain`) or a node; return what became of it.

        Raises:
            AccessDenied: the monitor has not the right.
            NoBroker: nobody could be asked.
            ConfigError: there is no such broker, or that is no name.
            NodeClosed: the node is about to end.
        """
        operate = self._node.operate
        answers: dict[str, Answer]
        if operation == "drain":
            answers = {name: await operate.drain(name)}
        elif operation == "take_out":
            answers = await operate.take_out(name)
        else:
            answers = await operate.put_back(name)
        done, undone = _DONE[operation]
        ok = all_done(answers.values())
        told = {each.broker: printable(each.text) for each in answers.values()}
        said = "; ".join(f"{broker}: {text}" for broker, text in told.items())
        return Operated(ok, f"{(done if ok else undone).format(name=printable(name))}: {said}", told)
