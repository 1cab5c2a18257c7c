"""A zgossip node of libczmq, which knows nothing of BraidMQ: commands come in as lines of JSON, and go out likewise.

Usage: python zgossip_node.py [ENDPOINT]...

It connects to each ENDPOINT, prints `["DELIVER", KEY, VALUE]` for whatever it hears, and takes the commands of zgossip:
`["BIND", ENDPOINT]`, `["CONNECT", ENDPOINT]`, `["PUBLISH", KEY, VALUE]`; `["PORT"]` and `["STATUS"]` are answered by a
line. It ends with its input. libczmq comes by `apt-get install libczmq4`.
"""

import ctypes
import json
import os
import select
import sys
from typing import Any

LIBRARY = "libczmq.so.4"
TICK_MS = 10


def load() -> Any:
    """Return the library. Raises OSError if it is not installed."""
    czmq = ctypes.CDLL(LIBRARY)
    for name in ("zactor_new", "zmsg_recv", "zmsg_new", "zmsg_popstr"):
        getattr(czmq, name).restype = ctypes.c_void_p
    return czmq


def main(endpoints: list[str]) -> None:
    """Run until stdin ends."""
    czmq = load()
    actor = ctypes.c_void_p(czmq.zactor_new(czmq.zgossip, b"node"))
    czmq.zsock_set_rcvtimeo(actor, TICK_MS)
    for endpoint in endpoints:
        send(czmq, actor, ["CONNECT", endpoint])
    pending = b""
    while True:
        readable, _, _ = select.select([0], [], [], 0)
        if readable:
            come = os.read(0, 65_536)
            if not come:
                return
            *lines, pending = (pending + come).split(b"\n")
            for line in lines:
                send(czmq, actor, json.loads(line))
        message = czmq.zmsg_recv(actor)
        if message:
            sys.stdout.write(json.dumps(read(czmq, ctypes.c_void_p(message))) + "\n")
            sys.stdout.flush()


def send(czmq: Any, actor: Any, words: list[str]) -> None:
    """Give the node a command."""
    message = ctypes.c_void_p(czmq.zmsg_new())
    for word in words:
        czmq.zmsg_addstr(message, word.encode())
    czmq.zmsg_send(ctypes.byref(message), actor)


def read(czmq: Any, message: Any) -> list[str]:
    """Return what the node has said."""
    words = []
    while (word := czmq.zmsg_popstr(message)) is not None:
        words.append(ctypes.string_at(word).decode(errors="replace"))
        czmq.zstr_free(ctypes.byref(ctypes.c_void_p(word)))
    czmq.zmsg_destroy(ctypes.byref(message))
    return words


if __name__ == "__main__":
    main(sys.argv[1:])
