"""When the next look at a link finds something, if nothing comes meanwhile: until then nobody needs to look."""

import math

from braidmq.core.links.link import MALFORMED_MAX, Link, LinkState


def idle_until(link: Link, now: float) -> float:
    """Return until when a look at a link that was just looked at finds nothing: `now`, if the next one may."""
    if link.state is LinkState.WAITING:
        return link.wake_at if link.wanted else math.inf
    if link.state is LinkState.CONNECTING or link.spoke or link.lists.waiting or link.malformed > MALFORMED_MAX:
        return now
    silence = link.silence
    silent_s = silence.suspect_s if link.state is LinkState.UP else silence.dead_s
    rest_s = (silence.suspect_s - link.heartbeat_s) / 2.0  # a standstill that does not show is not taken for silence
    return min(link.heartbeat_at, link.heard_at + silent_s, now + rest_s)
