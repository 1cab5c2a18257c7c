"""A node's own certificate: whatever was made of it follows when a newer one comes, whichever way that is."""

from braidmq.core.client.client import ClientCore
from braidmq.core.links.link import Link
from braidmq.core.links.links import Links
from braidmq.core.links.papers import Papers
from braidmq.core.proofs import Checker, Keyring, Prover
from braidmq.core.worker.worker import WorkerCore
from braidmq.errors import ProtocolError
from braidmq.members import Member
from braidmq.wire.registry import CertificateIs


class OwnCertificate:
    """Lets a client and a worker go by the newest certificate of their node: its name, its rights, its proofs.

    Args:
        member: the node as it has begun.
        keyring: what it proves and checks replies with; None if it does neither.
        papers: with its newest certificate.
        links: on which brokers hand it on.
        client: has its name and rights, and checks replies.
        worker: proves replies.
    """

    __slots__ = ("_client", "_keyring", "_links", "_member", "_papers", "_worker")

    def __init__(
        self,
        member: Member,
        keyring: Keyring | None,
        papers: Papers,
        *,
        links: Links,
        client: ClientCore,
        worker: WorkerCore,
    ) -> None:
        self._member = member
        self._keyring = keyring
        self._papers = papers
        self._links = links
        self._client = client
        self._worker = worker

    def on_certificate(self, link: Link, message: CertificateIs, now: float) -> None:
        """Take the newest one from a broker; what the node may do there may be more now."""
        try:
            newer = self._papers.take_certificate(message)
        except ProtocolError as error:
            self._links.on_malformed(link, str(error))
            return
        if newer:
            self.follow(self._keyring)
        self._worker.on_rights(link, now)

    def follow(self, keyring: Keyring | None) -> None:
        """Go by what the papers have now, with the keys of `keyring`.

        Replies to what was sent before, under another name or with another key, are still checked by those.
        """
        before, member = self._member, self._papers.member
        former = self._keyring
        self._member = member
        self._client.change_member(member)
        if keyring is None:
            return
        papers = self._papers
        keyring = Keyring(papers.blob, keyring.public_key, keyring.agree, keyring.verify, papers.invitation)
        self._keyring = keyring
        self._worker.change_prover(Prover(keyring, member.name))
        if former is None or (before.name, former.public_key) != (member.name, keyring.public_key):
            self._client.change_checker(Checker(keyring, member.name))
