"""Calls a service of a net with libzmq alone.

Usage: python examples/plain_pyzmq.py NODE.braid SERVICE PAYLOAD

Nothing of BraidMQ is imported; any MessagePack library does. One broker is asked, once, for two seconds. A member that
stays sends heartbeats, and one that must not fail goes on over other brokers: docs/protocol.md has it all.
"""

import json
import os
import struct
import sys
import time
from base64 import b64decode
from pathlib import Path

import msgspec
import zmq

COMMON = struct.Struct(">IBBBBI")  # length, version, command, flags, retry count, sent (section 4.1)
EXCHANGE = struct.Struct(">II16sBBBBHH")  # time, tag, id, three lengths, code, length of the extension, working
REQUEST, REPLY, REJECT, LOST, HELLO, WELCOME, GOODBYE = 1, 2, 4, 6, 32, 33, 37


def say(socket: zmq.Socket[bytes], command: int, rest: bytes) -> None:
    sent = int(time.monotonic() * 1000) % 2**32
    socket.send(COMMON.pack(COMMON.size + len(rest), 0x10, command, 0, 0, sent) + rest)


def call(join_file: str | Path, service: str, payload: bytes, timeout_s: float = 2.0) -> bytes:
    file, id_ = json.loads(Path(join_file).read_bytes()), os.urandom(16)
    id_ = bytes((id_[0] & 0x7F,)) + id_[1:]  # its first bit is clear
    own, roster = (msgspec.msgpack.decode(b64decode(file[each])[64:]) for each in ("certificate", "roster"))
    broker = msgspec.msgpack.decode(roster["certificates"][0][64:])
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger, socket.reconnect_ivl, socket.rcvtimeo = 0, -1, int(timeout_s * 1000)
        socket.curve_secretkey, socket.curve_publickey = b64decode(file["secret_key"]), own["keys"][-1]
        socket.curve_serverkey = broker["keys"][-1]
        socket.connect(broker["endpoints"][0])
        say(socket, HELLO, b"\x80")  # an empty map
        while True:
            frame = socket.recv()
            while frame:  # a bundle: one message after the other
                size = int.from_bytes(frame[:4])
                message, frame = frame[:size], frame[size:]
                command, text = message[5], message[44 + sum(message[36:39]) + int.from_bytes(message[40:42]) :]
                if command == WELCOME:
                    name, time_ms = service.encode(), int(timeout_s * 1000)
                    head = EXCHANGE.pack(time_ms, 1, id_, len(name), 0, 0, 0, 0, 0)
                    say(socket, REQUEST, head + name + payload)
                elif command == GOODBYE or (command in (REJECT, LOST) and message[20:36] == id_):
                    raise RuntimeError(f"command {command}, code {message[39:40].hex()}")
                elif command == REPLY and message[20:36] == id_:
                    if message[39]:
                        raise RuntimeError(str(msgspec.msgpack.decode(text)))
                    return text


if __name__ == "__main__":
    print(call(sys.argv[1], sys.argv[2], sys.argv[3].encode()).decode())
