"""``join``: make this machine a member of a net, with a key that never leaves it."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
from nacl.public import PrivateKey

from braidmq import stderr
from braidmq.cli.numbers import Finite
from braidmq.enrolment import Unregistered, await_certificate, use_token
from braidmq.errors import ConfigError, NoBroker, NotRegistered
from braidmq.printable import printable
from braidmq.trust import joinfile
from braidmq.trust.code_text import TEXT_CHARS_MAX, Kind, kind_of
from braidmq.trust.codes import Netcode, RequestCode, Token
from braidmq.trust.joinfile import JoinFile, admitted
from braidmq.trust.pending import Pending
from braidmq.zmtp.handshake import KeyPair

TOKEN_S: Final = 30.0
"""How long a token is tried, unless --timeout says something else: brokers answer at once, if they can be reached."""

LOOK_S: Final = 3.0
"""How long a member is looked for under its present key before it asks for another one: it may have been renamed."""

CODE_VARIABLE: Final = "BRAIDMQ_CODE"
"""The environment variable that may hold the code: a token on a command line is seen by all of a machine."""

_SUFFIX: Final = ".braid"

_CODES_BEGIN: Final = "braid_"
"""How each code begins, also one that was cut short or damaged."""


@click.command("join")
@click.argument("code", required=False, default="")
@click.argument("name", required=False, default="")
@click.option(
    "--file",
    "path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where the join file goes, if not NAME.braid.",
)
@click.option("--timeout", "timeout_s", metavar="S", type=Finite(0.1), help="How long to wait, in seconds.")
@click.option("--rotate", is_flag=True, help="Ask for a new key for the member whose join file is FILE.")
def join(code: str, name: str, *, path: Path | None, timeout_s: float | None, rotate: bool) -> None:
    """Become a member of a net, by a code of its operator.

    CODE is a netcode (`braidmq code`), and then NAME is needed: this prints a request code for the operator, and waits
    until the operator has registered it. Or it is a token (`braidmq invite`), which makes a member at once. `-` reads
    the code from stdin, which no list of processes and no shell history shows; $BRAIDMQ_CODE does as well.

    The key is made here and goes nowhere. What was begun is taken up again by the same command. For a member it brings
    the join file up to date, which may be older than its rights.

    For a new key of a member: braidmq join --rotate --file NAME.braid
    """
    if rotate:
        if code:
            raise click.UsageError("--rotate takes no code: --file says all", click.get_current_context())
        _rotate(path, timeout_s)
        return
    code = _read(code)
    if not kind_of(code) and not code.strip().startswith(_CODES_BEGIN):
        raise ConfigError(
            "this is no code of BraidMQ: paste the one that `braidmq code` or `braidmq invite` has printed"
        )
    if kind_of(code) is Kind.TOKEN:
        _join_by_token(Token.decode(code), name, path, timeout_s)
        return
    netcode = Netcode.decode(code)
    if not name:
        raise ConfigError("say what this member is to be called: braidmq join CODE NAME")
    _join_by_request(netcode, name, path, timeout_s)


def _read(code: str) -> str:
    """Return the code of a command line, of stdin, or of the environment."""
    if code == "-":
        if sys.stdin is None:
            raise ConfigError("stdin is closed: give the code as an argument, or in $BRAIDMQ_CODE")
        return sys.stdin.readline(TEXT_CHARS_MAX + 2)
    code = code or os.environ.get(CODE_VARIABLE, "")
    if not code:
        raise ConfigError("give a CODE: the net's operator prints one with `braidmq code` or `braidmq invite`")
    return code


def _join_by_request(netcode: Netcode, name: str, path: Path | None, timeout_s: float | None) -> None:
    waiting, path = _begin(netcode, name, path or Path(name + _SUFFIX))
    if waiting is None:
        return
    click.echo(waiting.request.encode())
    stderr.say(
        printable(
            f"braidmq: this is the request code; the net's operator runs: braidmq add node {name} --net DIR "
            "--request CODE --call ... --serve ... (or add broker ... --endpoint ...)"
        )
    )
    _finish(waiting, path, timeout_s)


def _join_by_token(token: Token, name: str, path: Path | None, timeout_s: float | None) -> None:
    timeout_s = TOKEN_S if timeout_s is None else timeout_s
    name = name or token.name
    if not name and path is not None and path.exists():
        found = joinfile.load_any(path)
        name = found.name
    if not name:
        _check_end(token)
        key = PrivateKey.generate()
        waiting = Pending(secret_key=bytes(key), name=token.name_for(bytes(key.public_key)), netcode=token.netcode)
        path = path or Path(waiting.name + _SUFFIX)
        waiting.write(path)
    else:
        begun, path = _begin(token.netcode, name, path or Path(name + _SUFFIX))
        if begun is None:
            return
        waiting = begun
        _check_end(token)
    use_token(token, waiting.public_key, waiting.name, timeout_s)
    _finish(waiting, path, timeout_s)


def _check_end(token: Token) -> None:
    """Refuse a token that has ended. One whose member is there already has done its work, and may have."""
    if token.not_after < time.time():
        raise ConfigError("the token has ended, by this machine's clock: ask for another one, or set the clock")


def _begin(netcode: Netcode, name: str, path: Path) -> tuple[Pending | None, Path]:
    """Return who waits for a certificate: as the file says that was written before, or with a new key.

    None if the file is that of a member already.
    """
    if os.path.lexists(path):
        found = joinfile.load_any(path)
        net = found.netcode.net if isinstance(found, Pending) else found.net
        if (net, found.name) != (netcode.net, name):
            raise ConfigError(
                f"{path} is the join file of {found.name} of net {net}: move it away, or give another --file"
            )
        if isinstance(found, Pending):
            return replace(found, netcode=netcode), path
        return (None if _refresh(found, netcode, path) else _again(found, netcode, path)), path
    waiting = Pending(secret_key=bytes(PrivateKey.generate()), name=name, netcode=netcode)
    waiting.write(path)
    return waiting, path


def _refresh(file: JoinFile, netcode: Netcode, path: Path) -> bool:
    """Bring the file of a member up to date, which may have other rights, or another name.

    Return False if the net does not know its key any more.
    """
    try:
        newest = _newest(file, netcode)
    except Unregistered:
        return False
    except NotRegistered as error:
        raise NotRegistered(
            f"{path}: {error}; to begin anew with another key, move this file away and repeat the command"
        ) from None
    except NoBroker as error:
        click.echo(
            printable(f"{file.name} is a member, says {path}, and nobody could be asked whether it still is one")
        )
        stderr.say(printable(f"braidmq: {error}"))
        return True
    if newest != file:
        newest.write(path)
    news = "" if newest == file else ", which is up to date now"
    click.echo(printable(f"{newest.name} is a member already: {path}{news}"))
    return True


def _again(file: JoinFile, netcode: Netcode, path: Path) -> Pending:
    """Return who asks to be a member once more, with the key that it has. Its file stays as it is until it is one."""
    stderr.say(printable(f"braidmq: the net does not know the key in {path} any more: {file.name} asks for it anew"))
    return Pending(secret_key=file.secret_key, name=file.name, netcode=netcode)


def _finish(waiting: Pending, path: Path, timeout_s: float | None) -> None:
    """Wait for the certificate, and write the join file."""
    pair = KeyPair(waiting.public_key, waiting.secret_key)
    admission = await_certificate(waiting.netcode, pair, timeout_s, _teller())
    file = admitted(waiting, admission.certificate, roster=admission.roster)
    file.write(path)
    _tell(file, path)


def _rotate(path: Path | None, timeout_s: float | None) -> None:
    """Ask for a new key for a member, and put it into its join file once it is registered."""
    if path is None:
        raise ConfigError("say whose key is to be changed: braidmq join --rotate --file NAME.braid")
    file = joinfile.load(path)
    netcode = Netcode.of(file.net, file.authority_key, file.brokers)
    if file.next_secret_key is None:
        with suppress(NotRegistered, NoBroker):  # then the operator is told the name that is in the file
            file = _newest(file, netcode)
        file = replace(file, next_secret_key=bytes(PrivateKey.generate()))
        file.write(path)
    public, secret = file.next_public_key, file.next_secret_key
    assert public is not None, "it has just been made"
    assert secret is not None, "it has just been made"
    click.echo(RequestCode(file.net, file.name, public).encode())
    stderr.say(
        printable(
            "braidmq: this is the request code; the net's operator runs: "
            f"braidmq rotate {file.name} --net DIR --request CODE"
        )
    )
    admission = await_certificate(netcode, KeyPair(public, secret), timeout_s, _teller())
    roster = None if file.manifest is not None else admission.roster
    file = file.renewed(admission.certificate, roster=roster)
    file.write(path)
    _tell(file, path)


def _newest(file: JoinFile, netcode: Netcode) -> JoinFile:
    """Return a join file with what the net says of its member now.

    Raises:
        NotRegistered: see `await_certificate`.
        NoBroker: no broker can be reached.
    """
    found = await_certificate(netcode, KeyPair(file.public_key, file.secret_key), LOOK_S, lambda _why: None)
    return file.renewed(found.certificate, roster=None if file.manifest is not None else found.roster)


def _teller() -> Callable[[str], None]:
    """Return what tells on stderr why somebody waits, once for each reason."""
    told: set[str] = set()

    def tell(why: str) -> None:
        if why not in told:
            told.add(why)
            stderr.say(f"braidmq: {printable(why)}")

    return tell


def _tell(file: JoinFile, path: Path) -> None:
    role = file.certificate.role.value
    click.echo(printable(f"{file.name} is a {role} of net {file.net} now: {path}"))
    if role == "broker":
        stderr.say(printable(f"braidmq: start it with: braidmq broker --join {path}"))
