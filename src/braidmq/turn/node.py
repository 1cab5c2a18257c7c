"""The turn of a node: the order in which its core is served, whatever carries its messages.

What has come is read first (`read`), and jobs and ends of calls that follow from it are handed out at once. Then comes
the turn itself (`run`): what is due is sent before anything else, as others wait for it; then comes the time, what the
core wishes of its connections, and what it has to say after that. A carrier may read several times before a turn.
"""

from typing import Final

from braidmq.core.links.link import Failure
from braidmq.core.node.node import NodeCore
from braidmq.core.worker.job import Job
from braidmq.turn.dialing import act, fail, note_step
from braidmq.turn.ports import Dialer, NodeHost

LATE_S: Final = 0.05
"""How late a turn may be before everything that has come is read first: who has stood still must not take that for the
silence of others."""


class NodeTurn:
    """Serves one NodeCore. `run` returns when the next turn is due; what needs one earlier is said by who causes it.

    Attributes:
        due: when the next turn is due, as of the last one.
        has_read: whether the newest `begin` has read anything, so that a turn has to follow soon.

    Args:
        core: the node.
        dialer: its connections.
        host: its process.
    """

    def __init__(self, core: NodeCore, dialer: Dialer, host: NodeHost) -> None:
        self.core = core
        self.due = float("-inf")
        self.has_read = False
        self._dialer = dialer
        self._host = host

    def read(self, now: float) -> None:
        """Read what has come, and which connections have come about or ended, and hand out what follows from it."""
        self._read(now, until_empty=False)
        self._dialer.flush()
        self.hand_out()

    def run(self, now: float) -> float:
        """Do what is due, send and tell what follows from it; return when the next turn is due."""
        core, dialer, host = self.core, self._dialer, self._host
        self._send(now)
        timely = now >= self.due
        if timely:
            if now - self.due >= LATE_S:
                dialer.look_closer()
                self._read(now, until_empty=True)
            core.on_timer(now)
            if core.stalled_s:
                host.on_stall(core.stalled_s)
        self._settle(now)
        for event in core.take_events():
            host.tell(event)
        if core.resting or timely:
            core.rest(now)
        self.due = core.next_deadline()
        return self.due

    def begin(self, job: Job, now: float) -> bool:
        """Whether the handler of a job may begin now; if not, the job has ended.

        What has come over its link may be read before it: see `has_read`.
        """
        self.has_read = self.core.must_look(job, now)
        if self.has_read:
            self._dialer.look_closer(job.link.name)
            self._read(now, until_empty=True)
        return self.core.begin(job, now)

    def hand_out(self) -> None:
        """Start the jobs that have come, stop those that nobody waits for, and complete the calls that have ended."""
        core, host = self.core, self._host
        for job in core.take_jobs():
            host.run_job(job)
        for job in core.take_cancels():
            host.stop_job(job)
        for id_, outcome in core.take_results():
            host.complete(id_, outcome)

    def _settle(self, now: float) -> None:
        """Do what the core asks for, until nothing more follows from it: calls go on at once when their path ends."""
        core, dialer = self.core, self._dialer
        while True:
            act(core, dialer, self._host, now)
            self.hand_out()
            self._send(now)
            given_up = dialer.look_after()
            if not given_up:
                return
            for name, failure in given_up:
                fail(core, dialer, name, failure, now)

    def _send(self, now: float) -> None:
        for name, messages in self.core.take_sends().items():
            dropped = self._dialer.send(name, messages)
            if dropped:
                for request in dropped:
                    self.core.on_dropped(name, request, now)
                self.hand_out()

    def _read(self, now: float, *, until_empty: bool) -> None:
        core, dialer = self.core, self._dialer
        for name, what in dialer.news():
            if isinstance(what, Failure):
                fail(core, dialer, name, what, now)
            else:
                note_step(core, name, what, now)
        frames = list(dialer.frames(until_empty=until_empty))
        if len(frames) > 1:
            latest = dict(frames)
            if len(latest) < len(frames):
                for name, frame in latest.items():
                    core.on_latest(name, frame, now)
        for name, frame in frames:
            core.on_frame(name, frame, now)
        for name, size in dialer.unread():
            core.on_unread(name, size)
