"""A small DNS server on UDP at 127.0.0.1, for tests.

`dns_server(zone)` is a context manager that yields the server's port. The zone maps absolute names to the texts of
their SRV records, e.g. ``{"_braid._tcp.example.": ["10 5 5550 a.example."]}``. A name with no records exists without
any; for a name with None the server fails; one that is not in the zone does not exist. A server without a zone (None)
never answers.
"""

import socket
import threading
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

_STOP = b""
"""An empty datagram: no DNS message is one."""


@contextmanager
def dns_server(zone):
    """Yield the port of a DNS server that answers from `zone` until the context ends."""
    records = None if zone is None else {dns.name.from_text(name): texts for name, texts in zone.items()}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(server, records), name="dns-server", daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.sendto(_STOP, server.getsockname())
            thread.join(10)
            assert not thread.is_alive(), "the DNS server did not end"


def _serve(server, records):
    while True:
        data, client = server.recvfrom(65_535)
        if data == _STOP:
            return
        if records is not None:
            answer = _answer(dns.message.from_wire(data), records)
            server.sendto(answer.to_wire(max_size=65_535), client)


def _answer(query, records):
    question = query.question[0]
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA
    if question.name not in records:
        response.set_rcode(dns.rcode.NXDOMAIN)
        return response
    texts = records[question.name]
    if texts is None:
        response.set_rcode(dns.rcode.SERVFAIL)
    elif texts and question.rdtype == dns.rdatatype.SRV:
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "SRV", *texts))
    return response
