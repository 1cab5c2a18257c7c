"""The workers of one service, and the jobs that wait for one of them."""

from collections import deque

import msgspec

from braidmq.bridges.majordomo.options import ServiceOptions
from braidmq.bridges.majordomo.wire import WorkerDialect
from braidmq.bridges.port import Job, Peer


class Worker(msgspec.Struct, eq=False):
    """A registered worker. It runs one request at a time: more of them it would run one by one, in silence.

    Attributes:
        peer: its connection.
        dialect: how it speaks.
        pool: of its service.
        heard: when it was heard last.
        token: of the request that it has; empty: it is idle.
        job: that request, while anybody waits for it.
        deadline: of the request that it has, or had last: until then its silence means nothing.
        parts: the frames of PARTIAL replies so far.
        parts_bytes: their bytes.
        in_parts: whether there was a PARTIAL reply.
        stuck: whether it has run that request for so long in vain that nothing more is expected of it until it answers.
    """

    peer: Peer
    dialect: WorkerDialect
    pool: "Pool"
    heard: float
    token: bytes = b""
    job: Job | None = None
    deadline: float = 0.0
    parts: list[bytes] = []
    parts_bytes: int = 0
    in_parts: bool = False
    stuck: bool = False

    def rest(self) -> None:
        """Be without a request."""
        self.token, self.job, self.stuck = b"", None, False
        self.forget_parts()

    def forget_parts(self) -> None:
        """Hold no reply any more."""
        self.parts, self.parts_bytes, self.in_parts = [], 0, False


class Pool:
    """The workers of one service of one member.

    Attributes:
        member: whose service it is.
        service: its name.
        options: what holds for it.
        workers: those that are registered.
        idle: those without a request; who has been idle for longest is first.
        waiting: jobs that have come while no worker was idle, by their numbers.
        offered: the concurrency that was told; 0: it is not offered.
    """

    __slots__ = ("idle", "member", "offered", "options", "service", "waiting", "workers")

    def __init__(self, member: str, service: str, options: ServiceOptions) -> None:
        self.member = member
        self.service = service
        self.options = options
        self.workers: set[Worker] = set()
        self.idle: deque[Worker] = deque()
        self.waiting: dict[int, Job] = {}
        self.offered = 0

    @property
    def concurrency(self) -> int:
        """How many jobs can run at once: a worker whose request nobody waits for is busy all the same.

        While there are workers that are not stuck it is at least 1, lest callers hear that there are none.
        """
        busy_in_vain = sum(1 for worker in self.workers if worker.token and worker.job is None)
        if all(worker.stuck for worker in self.workers):
            return 0
        return max(1, len(self.workers) - busy_in_vain)
