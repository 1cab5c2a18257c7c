"""Every cryptographic operation there is: libsodium's crypto_box (X25519, XSalsa20, Poly1305), by way of PyNaCl.

`nacl.bindings` is PyNaCl's public interface, which copies what it is given. That is good enough for handshakes. The
boxes of messages are opened and sealed where they lie by the functions underneath, which saves 1 us of 2 for a short
one. Those are not promised to stay, so they are tried when this is imported; without them the public ones do the same.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as LibraryError

from braidmq.zmtp.violation import WrongKey

KEY_BYTES: Final = 32
"""Length of a public key, of a secret key, and of what two of them agree on."""

MAC_BYTES: Final = 16
"""How much longer a box is than what is in it: its authenticator comes first."""

NONCE_BYTES: Final = 24
"""Length of a nonce: 16 that say what for, and 8 that count; or 8, and 16 that are random."""

_nonce: Final = Struct("!16sQ")


def public_key(secret: bytes) -> bytes:
    """Return the public key that belongs to a secret one: 32 bytes each."""
    found: bytes = bindings.crypto_scalarmult_base(secret)
    return found


def agree(public: bytes, secret: bytes) -> bytes:
    """Return the key that the holders of two pairs agree on. Raises WrongKey for a public key that is none."""
    try:
        key: bytes = bindings.crypto_box_beforenm(public, secret)
    except (LibraryError, CryptoError):
        raise WrongKey("a public key of small order") from None
    return key


def seal(plain: bytes, nonce: bytes, key: bytes) -> bytes:
    """Return a box, MAC_BYTES longer than `plain`. No nonce may ever be used twice with one key."""
    box: bytes = bindings.crypto_box_easy_afternm(plain, nonce, key)
    return box


def unseal(box: bytes, nonce: bytes, key: bytes) -> bytes:
    """Return what is in a box. Raises WrongKey if it was not sealed with this nonce and key, or was changed."""
    try:
        plain: bytes = bindings.crypto_box_open_easy_afternm(box, nonce, key)
    except (CryptoError, LibraryError):
        raise WrongKey("a box that does not open") from None
    return plain


def wipe(secret: bytearray) -> None:
    """Overwrite a secret. Copies that the interpreter has made of it stay until their memory is used again."""
    secret[:] = bytes(len(secret))


class Room:
    """Bytes that boxes are opened and sealed in, where they lie. It belongs to one thread.

    Attributes:
        data: the bytes.
        view: the same, for whoever reads a socket into them or takes parts of them.
        size: how many.
        nonce: that of the box that was opened or sealed last.
    """

    __slots__ = ("_at", "_nonce_at", "data", "nonce", "size", "view")

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = bytearray(size)
        self.view = memoryview(self.data)
        self.nonce = bytearray(NONCE_BYTES)
        self._at: Any = _address(self.data)
        self._nonce_at: Any = _address(self.nonce)

    def open_box(self, at: int, size: int, purpose: bytes, number: int, key: bytes) -> bool:
        """Open the box of `size` bytes that begins at `at`: what is in it lies from `at` + MAC_BYTES on afterwards.

        Args:
            at: where the box begins.
            size: its length, at least MAC_BYTES.
            purpose: the first 16 bytes of its nonce.
            number: the rest of it.
            key: what the two sides have agreed on.

        Returns:
            Whether it opens; if not, nothing has changed.
        """
        self._check(at, size, key)
        _nonce.pack_into(self.nonce, 0, purpose, number)
        return _open_at(self, self._at, self._nonce_at, at, size, key)

    def seal_box(self, at: int, size: int, purpose: bytes, number: int, key: bytes) -> None:
        """Seal the `size` bytes that begin at `at` + MAC_BYTES: the box begins at `at` afterwards. See open_box."""
        self._check(at, size + MAC_BYTES, key)
        _nonce.pack_into(self.nonce, 0, purpose, number)
        _seal_at(self, self._at, self._nonce_at, at, size, key)

    def _check(self, at: int, size: int, key: bytes) -> None:
        """See to it that what lies outside of `data` and `key` is never touched: libsodium would not mind."""
        if at < 0 or size < MAC_BYTES or at + size > self.size or len(key) != KEY_BYTES:
            raise IndexError("no box lies there")


_Open = Callable[[Room, Any, Any, int, int, bytes], bool]
_Seal = Callable[[Room, Any, Any, int, int, bytes], None]


def _open_copied(room: Room, _data: object, _nonce: object, at: int, size: int, key: bytes) -> bool:
    try:
        plain = unseal(bytes(room.view[at : at + size]), bytes(room.nonce), key)
    except WrongKey:
        return False
    room.view[at + MAC_BYTES : at + size] = plain
    return True


def _seal_copied(room: Room, _data: object, _nonce: object, at: int, size: int, key: bytes) -> None:
    end = at + MAC_BYTES + size
    room.view[at:end] = seal(bytes(room.view[at + MAC_BYTES : end]), bytes(room.nonce), key)


def _no_address(_data: bytearray) -> None:
    return None


def _in_place() -> tuple[Callable[[bytearray], Any], _Open, _Seal]:
    """Return what works on boxes where they lie. Raises ImportError, AttributeError."""
    from nacl._sodium import ffi, lib  # noqa: PLC0415 - it may not be there

    open_easy: Any = lib.crypto_box_open_easy_afternm
    seal_easy: Any = lib.crypto_box_easy_afternm

    def address(data: bytearray) -> Any:
        return ffi.from_buffer("unsigned char[]", data)

    def open_at(_room: Room, data: Any, nonce: Any, at: int, size: int, key: bytes) -> bool:
        box = data + at
        return not open_easy(box + MAC_BYTES, box, size, nonce, key)

    def seal_at(_room: Room, data: Any, nonce: Any, at: int, size: int, key: bytes) -> None:
        box = data + at
        seal_easy(box, box + MAC_BYTES, size, nonce, key)

    return address, open_at, seal_at


def works() -> bool:
    """Whether boxes in place are those of the public functions, and a forged one does not open."""
    key, purpose, plain = bytes(range(KEY_BYTES)), b"a trial of boxes", b"what is in the box"
    room = Room(MAC_BYTES + len(plain))
    room.view[MAC_BYTES:] = plain
    room.seal_box(0, len(plain), purpose, 7, key)
    box = bytes(room.data)
    if box != seal(plain, _nonce.pack(purpose, 7), key) or not room.open_box(0, len(box), purpose, 7, key):
        return False
    opened = bytes(room.view[MAC_BYTES:]) == plain
    room.view[:] = bytes((box[0] ^ 1,)) + box[1:]
    return opened and not room.open_box(0, len(box), purpose, 7, key)


_address: Callable[[bytearray], Any]
_open_at: _Open
_seal_at: _Seal
try:
    _address, _open_at, _seal_at = _in_place()
    IN_PLACE = works()
    """Whether messages are opened and sealed in place."""
except (ImportError, AttributeError, TypeError):
    IN_PLACE = False
if not IN_PLACE:
    _address, _open_at, _seal_at = _no_address, _open_copied, _seal_copied
