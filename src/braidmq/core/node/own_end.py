"""A node's own certificate that ends: its log and its observer are told some days before, and at the end."""

from collections.abc import Iterable

from braidmq.core.events.log import EventLog
from braidmq.core.events.registry import ClockDiffers, OwnCertificateEnds
from braidmq.core.links.link import Link
from braidmq.core.links.papers import Papers
from braidmq.core.registry.clocks import OFF_S_MAX, middle
from braidmq.core.registry.ends import Marks
from braidmq.observer import NodeObserver


class OwnEnd:
    """Tells 30, 7 and 1 days before the end of the certificate, and then; and that the clock of this machine is wrong.

    Nothing follows from it here: brokers decide what has ended, by the time of the net. So it is told by their clocks,
    as far as they have said what time it is, and by this machine's only before.

    Args:
        papers: with its newest certificate.
        events: where lines go.
        observer: is told, too.
    """

    __slots__ = ("_events", "_marks", "_observer", "_off_told_s", "_papers")

    def __init__(self, papers: Papers, events: EventLog, observer: NodeObserver | None) -> None:
        self._papers = papers
        self._events = events
        self._observer = observer
        self._marks = Marks()
        self._off_told_s = 0.0

    def look(self, links: Iterable[Link], unix_s: float, now: float) -> None:
        """Tell what there is to be told; `unix_s` is what this machine's clock says."""
        told = [link.unix_ahead_s + now for link in links if link.open and link.unix_ahead_s]
        net_s = middle(told) if told else unix_s
        self._look_at_clock(unix_s - net_s)
        end_s = self._papers.not_after
        for days, after_s, until_s in self._marks.spans(net_s):
            if end_s and after_s < end_s <= until_s:
                self._events.add(OwnCertificateEnds(self._papers.member.name, days))
                if self._observer is not None:
                    self._observer.on_certificate_end(self._papers.member.name, end_s - net_s, now)

    def _look_at_clock(self, off_s: float) -> None:
        """Tell that the clock is wrong, and again when it is so by another time."""
        if abs(off_s) <= OFF_S_MAX:
            self._off_told_s = 0.0
        elif abs(off_s - self._off_told_s) > OFF_S_MAX:
            self._off_told_s = off_s
            self._events.add(ClockDiffers(self._papers.member.name, round(off_s)))
