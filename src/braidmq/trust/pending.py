"""The file of a member that has made its key and waits for its certificate: ``NAME.braid`` until then."""

from dataclasses import dataclass, field
from pathlib import Path

from nacl.public import PrivateKey

from braidmq.errors import ConfigError
from braidmq.members import check_name
from braidmq.trust import jointext, private_file
from braidmq.trust.codes import Netcode, RequestCode
from braidmq.trust.jointext import FORMAT_VERSION, Text
from braidmq.trust.signed import KEY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A member that has made its key, asked the authority for a certificate, and waits for it.

    Whether it is to be a broker or a node is for the authority to say.

    Attributes:
        secret_key: its CURVE secret key, 32 bytes. It is kept out of `repr`.
        name: the name that it has asked for.
        netcode: the net, its authority's key, and where some of its brokers are.

    Raises:
        ConfigError: a part is not valid.
    """

    secret_key: bytes = field(repr=False)
    name: str
    netcode: Netcode

    def __post_init__(self) -> None:
        """Check the parts."""
        check_name(self.name)
        if len(self.secret_key) != KEY_BYTES:
            raise ConfigError(f"its secret key is not {KEY_BYTES} bytes long")

    @property
    def public_key(self) -> bytes:
        """The CURVE public key of `secret_key`, 32 bytes."""
        return bytes(PrivateKey(self.secret_key).public_key)

    @property
    def request(self) -> RequestCode:
        """What it asks the authority for."""
        return RequestCode(self.netcode.net, self.name, self.public_key)

    def write(self, path: Path | str) -> None:
        """Write the file with mode 0600, whole or not at all.

        Raises:
            OSError: it could not be written; what `path` held before is still there.
        """
        private_file.write(Path(path), self.encode())

    def encode(self) -> bytes:
        """Return the file's content. It holds a secret."""
        return jointext.encode(
            Text(
                braidmq_join_file=FORMAT_VERSION,
                net=self.netcode.net,
                name=self.name,
                role="",
                contents=jointext.fingerprint(None, None, None, (), None),
                secret_key=self.secret_key,
                old_secret_key=None,
                next_secret_key=None,
                authority_key=self.netcode.authority_key,
                certificate=None,
                invitation=None,
                roster=None,
                brokers=(),
                manifest=None,
                netcode=self.netcode.encode(),
                checksum=b"",
            )
        )
