"""Certificates for rivals that encrypt with TLS, made on the spot with the openssl command (3.0 or newer).

A CA, a certificate for each server and one that all clients and workers share, so that both ends of every connection
show one. That is what CURVE gives us: nobody else gets in, nobody else reads.
"""

import shutil
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from braidmq.errors import BraidError

NODE: Final = "node"
"""The certificate of clients and workers."""

_REQUESTS: Final = """
[req]
distinguished_name = name
prompt = no
[name]
CN = rival
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[member]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:127.0.0.1
"""


def missing() -> str:
    """Return what is not installed, as one line; empty if nothing is missing."""
    return "" if shutil.which("openssl") else "the openssl command is not installed: apt install openssl"


def make(directory: Path, names: Iterable[str]) -> None:
    """Make `ca.pem`, and NAME.pem and NAME.key for each name and for NODE. Raises BraidError."""
    config = directory / "openssl.conf"
    config.write_text(_REQUESTS)
    _make(config, "ca", "authority")
    for name in (*names, NODE):
        _make(config, name, "member", "-CA", f"{directory / 'ca.pem'}", "-CAkey", f"{directory / 'ca.key'}")


def client_context(directory: Path) -> ssl.SSLContext:
    """Return the client's side of mutual TLS 1.3."""
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(directory / f"{NODE}.pem", directory / f"{NODE}.key")
    return context


def _make(config: Path, name: str, extensions: str, *signer: str) -> None:
    files = ("-keyout", str(config.with_name(f"{name}.key")), "-out", str(config.with_name(f"{name}.pem")))
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    command = ["openssl", "req", "-x509", "-days", "2", "-config", str(config), "-extensions", extensions]
    made = subprocess.run([*command, *key, *files, *signer], capture_output=True, text=True, check=False)  # noqa: S603
    if made.returncode:
        raise BraidError(f"openssl made no certificate for {name}: {made.stderr.strip()}")
