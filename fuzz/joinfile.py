"""What bytes make of join files: any bytes, and JSON whose documents are signed anew and whose checksum is right.

What is taken can be written, and is the same then; all else raises ConfigError with one line.
"""

import base64
import hashlib
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from nacl.public import PrivateKey

from braidmq.errors import ConfigError
from braidmq.trust import certificate, invitation, joinfile, jointext, manifest, roster
from braidmq.trust.joinfile import JoinFile
from braidmq.trust.signed import SIGNATURE_BYTES, sign
from fuzz.private import PrivateFile
from tests.support.tokens import AUTHORITY, BROKER, BROKER_SECRET, MEMBER, MEMBER_SECRET, NET, SEED

BYTES_MAX = 4_000

_file = PrivateFile()


def one(data: bytes) -> int:
    """Read some bytes as a file, and with right signatures and checksum.

    Returns:
        How many of them were one.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    sealed = _sealed(data)
    return _load(data) + (sealed != data and _load(sealed))


def _load(data: bytes) -> bool:
    _file.put(data)
    try:
        found = joinfile.load(_file.path)
    except ConfigError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 800, "repeats what somebody has said at length"
        return False
    assert bytes(PrivateKey(found.secret_key).public_key) in found.certificate.keys, "has another one's key"
    assert found.authority_key != AUTHORITY or found.net == found.certificate.net == NET, "is of another net"
    return True


def _sealed(data: bytes) -> bytes:
    """Return a file with new signatures and a new checksum; as it is if that cannot be."""
    try:
        fields: dict[str, Any] = msgspec.json.decode(data)
        domains = {"certificate": certificate, "roster": roster, "manifest": manifest, "invitation": invitation}
        for name, domain in ((name, each.DOMAIN) for name, each in domains.items()):
            if isinstance(fields.get(name), str):
                fields[name] = _signed(fields[name], domain)
        if isinstance(fields.get("brokers"), list):
            fields["brokers"] = [_signed(each, certificate.DOMAIN) for each in fields["brokers"]]
        if "contents" in fields:
            fields["contents"] = _fingerprint(fields)
        fields["checksum"] = ""
        fields["checksum"] = base64.b64encode(hashlib.sha256(msgspec.json.encode(fields)).digest()).decode()
        return msgspec.json.encode(fields)
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, RecursionError):
        return data


def _fingerprint(fields: dict[str, Any]) -> str:
    blobs = {
        name: base64.b64decode(fields[name])
        for name in ("certificate", "invitation", "roster", "manifest")
        if isinstance(fields.get(name), str)
    }
    return jointext.fingerprint(
        blobs.get("certificate"),
        blobs.get("invitation"),
        blobs.get("roster"),
        [base64.b64decode(each) for each in fields.get("brokers") or ()],
        blobs.get("manifest"),
    )


def _signed(text: str, domain: bytes) -> str:
    return base64.b64encode(sign(domain, base64.b64decode(text)[SIGNATURE_BYTES:], SEED)).decode()


def _seeds() -> tuple[bytes, ...]:
    found = []
    known = manifest.issue(NET, 9, (MEMBER, BROKER), SEED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.braid"
        for secret, whose, registry in ((MEMBER_SECRET, MEMBER, None), (BROKER_SECRET, BROKER, known)):
            JoinFile(
                secret_key=secret, certificate=whose, authority_key=AUTHORITY, brokers=(BROKER,), manifest=registry
            ).write(path)
            found.append(path.read_bytes())
    return (*found, b"", b"{}", b'{"braidmq_join_file":3}')


SEEDS = _seeds()
"""Files to begin with: of a node and of a broker."""
