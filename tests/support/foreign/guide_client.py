"""A client of 0.1 as in the guide: a REQ socket, three attempts of 2.5 s, each over a socket of its own.

It calls SERVICE at ENDPOINT with each line of its input, and prints each reply.
"""

import sys

import zmq

ATTEMPTS = 3
TIMEOUT_MS = 2_500


def attempt(context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, service: bytes, body: bytes) -> list[bytes]:
    with context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(endpoint)
        socket.send_multipart([b"MDPC01", service, body])
        return socket.recv_multipart() if socket.poll(TIMEOUT_MS) else []


def call(context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, service: bytes, body: bytes) -> None:
    for _ in range(ATTEMPTS):
        reply = attempt(context, endpoint, service, body)
        if reply:
            assert reply[:2] == [b"MDPC01", service]
            print(reply[2].decode(), flush=True)
            return
    print("abandoned", flush=True)


def main(endpoint: str, service: str) -> None:
    with zmq.Context() as context:
        for line in sys.stdin:
            call(context, endpoint, service.encode(), line.rstrip("\n").encode())


main(*sys.argv[1:])
