"""Boxes are those of libsodium's public functions, in place and copied, and touch nothing around them."""

import importlib
import sys
from types import ModuleType, SimpleNamespace

import pytest
from nacl import bindings

import braidmq.zmtp
from braidmq.zmtp import sodium
from braidmq.zmtp.sodium import KEY_BYTES, MAC_BYTES, Room, agree, public_key, seal, unseal, wipe, works
from braidmq.zmtp.violation import WrongKey
from tests.support.zmtp import CLIENT, SERVER, SMALL_ORDER, STRANGER

KEY = bytes(range(KEY_BYTES))
PURPOSE = b"CurveZMQMESSAGEC"
NONCE = PURPOSE + (7).to_bytes(8, "big")


def test_keys_are_those_of_nacl():
    """RFC 7748, section 6.1, and the first key of "Cryptography in NaCl"."""
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    assert public_key(alice).hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert public_key(bob).hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    first = "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389"
    assert agree(public_key(bob), alice).hex() == agree(public_key(alice), bob).hex() == first


def test_both_sides_agree_on_one_key_and_nobody_else_does():
    key = agree(SERVER.public, CLIENT.secret)
    assert key == agree(CLIENT.public, SERVER.secret)
    assert len(key) == KEY_BYTES
    assert key != agree(SERVER.public, STRANGER.secret)


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_public_keys_of_small_order_are_refused(public):
    with pytest.raises(WrongKey, match="small order"):
        agree(public, SERVER.secret)


@pytest.mark.parametrize("plain", [b"", b"a", b"what is in the box", bytes(100_000)])
def test_box_opens_to_what_was_sealed(plain):
    box = seal(plain, NONCE, KEY)
    assert len(box) == len(plain) + MAC_BYTES
    assert unseal(box, NONCE, KEY) == plain


def test_box_is_that_of_crypto_box():
    key = agree(SERVER.public, CLIENT.secret)
    assert seal(b"plain", NONCE, key) == bindings.crypto_box(b"plain", NONCE, SERVER.public, CLIENT.secret)


@pytest.mark.parametrize("at", [0, 15, 16, 20])
def test_box_that_was_changed_does_not_open(at):
    box = bytearray(seal(b"plain", NONCE, KEY))
    box[at] ^= 1
    with pytest.raises(WrongKey, match="does not open"):
        unseal(bytes(box), NONCE, KEY)


def test_box_of_another_nonce_or_key_does_not_open():
    box = seal(b"plain", NONCE, KEY)
    for nonce, key in ((NONCE[:-1] + b"\0", KEY), (NONCE, KEY[::-1])):
        with pytest.raises(WrongKey, match="does not open"):
            unseal(box, nonce, key)


def test_secret_is_overwritten_where_it_lies():
    secret = bytearray(b"secret")
    wipe(secret)
    assert secret == bytes(6)


# -- rooms


@pytest.mark.parametrize("at", [0, 1, 33])
@pytest.mark.parametrize("size", [0, 1, 15, 63, 64, 4096])
def test_box_in_a_room_is_the_public_functions(at, size):
    plain = bytes(range(256)) * 16
    plain = plain[:size]
    room = Room(at + MAC_BYTES + size + 9)
    room.view[:] = b"\xee" * room.size
    room.view[at + MAC_BYTES : at + MAC_BYTES + size] = plain
    room.seal_box(at, size, PURPOSE, 7, KEY)
    assert room.view[:at] == b"\xee" * at
    assert room.view[at : at + MAC_BYTES + size] == seal(plain, NONCE, KEY)
    assert room.view[at + MAC_BYTES + size :] == b"\xee" * 9
    assert room.nonce == NONCE
    assert room.open_box(at, MAC_BYTES + size, PURPOSE, 7, KEY)
    assert room.view[:at] == b"\xee" * at
    assert room.view[at + MAC_BYTES : at + MAC_BYTES + size] == plain
    assert room.view[at + MAC_BYTES + size :] == b"\xee" * 9


@pytest.mark.parametrize("at", range(20))
def test_box_in_a_room_that_was_changed_does_not_open_and_stays_as_it_is(at):
    room = Room(MAC_BYTES + 4)
    room.view[:] = seal(b"four", NONCE, KEY)
    room.data[at] ^= 0x80
    before = bytes(room.view)
    assert not room.open_box(0, room.size, PURPOSE, 7, KEY)
    assert room.view == before


def test_box_in_a_room_of_another_purpose_number_or_key_does_not_open():
    room = Room(MAC_BYTES + 4)
    room.view[:] = seal(b"four", NONCE, KEY)
    assert not room.open_box(0, room.size, b"CurveZMQMESSAGES", 7, KEY)
    assert not room.open_box(0, room.size, PURPOSE, 8, KEY)
    assert not room.open_box(0, room.size, PURPOSE, 7, KEY[::-1])
    assert room.open_box(0, room.size, PURPOSE, 7, KEY)


@pytest.mark.parametrize(
    ("at", "size", "key"),
    [
        (-1, 20, KEY),
        (0, 33, KEY),
        (13, 20, KEY),
        (32, 16, KEY),
        (0, 15, KEY),
        (0, -1, KEY),
        (0, 20, b""),
        (0, 20, KEY[1:]),
    ],
)
def test_nothing_outside_of_room_and_key_is_touched(at, size, key):
    room = Room(32)
    with pytest.raises(IndexError, match="no box lies there"):
        room.open_box(at, size, PURPOSE, 7, key)
    with pytest.raises(IndexError, match="no box lies there"):
        room.seal_box(at, size - MAC_BYTES, PURPOSE, 7, key)
    assert room.view == bytes(32)


# -- the trial at the beginning


def test_trial_finds_that_boxes_work():
    assert works()


def test_messages_are_opened_in_place(boxes):
    """If this fails, PyNaCl has changed: all goes on, at the price of the public functions."""
    assert sodium.IN_PLACE
    assert (sodium._open_at is sodium._open_copied) == (boxes == "copied")
    assert (sodium._seal_at is sodium._seal_copied) == (boxes == "copied")


def test_trial_finds_a_way_of_sealing_that_does_nothing(monkeypatch):
    monkeypatch.setattr(sodium, "_seal_at", lambda *_: None)
    assert not works()


def test_trial_finds_a_way_of_sealing_that_only_opens_its_own(monkeypatch):
    monkeypatch.setattr(sodium, "_seal_at", lambda *_: None)
    monkeypatch.setattr(sodium, "_open_at", lambda room, *_: room.data[0] == 0)
    assert not works()


def test_trial_finds_a_way_of_opening_that_takes_anything(monkeypatch):
    real = sodium._open_at
    monkeypatch.setattr(sodium, "_open_at", lambda *given: real(*given) or True)
    assert not works()


def test_trial_finds_a_way_of_opening_that_takes_nothing(monkeypatch):
    monkeypatch.setattr(sodium, "_open_at", lambda *_: False)
    assert not works()


def test_trial_finds_a_way_of_opening_that_does_nothing(monkeypatch):
    monkeypatch.setattr(sodium, "_open_at", lambda room, *_: room.data[0] == seal_of_trial()[0])
    assert not works()


def seal_of_trial():
    return seal(b"what is in the box", b"a trial of boxes" + (7).to_bytes(8, "big"), KEY)


def private(**given):
    """Return what nacl._sodium may have become."""
    module = ModuleType("nacl._sodium")
    vars(module).update(given)
    return module


def refuse(*_):
    raise TypeError("takes something else")


FUNCTIONS = SimpleNamespace(crypto_box_open_easy_afternm=refuse, crypto_box_easy_afternm=refuse)


@pytest.mark.skipif(not sodium.__file__.endswith(".py"), reason="what is compiled cannot be imported a second time")
@pytest.mark.parametrize(
    "module",
    [
        None,
        private(),
        private(ffi=object(), lib=object()),
        private(ffi=object(), lib=FUNCTIONS),
        private(ffi=SimpleNamespace(from_buffer=refuse), lib=FUNCTIONS),
    ],
)
def test_without_private_functions_the_public_ones_are_used(monkeypatch, module):
    monkeypatch.setattr(braidmq.zmtp, "sodium", sodium)  # puts it back afterwards
    monkeypatch.setitem(sys.modules, "nacl._sodium", module)
    monkeypatch.delitem(sys.modules, "braidmq.zmtp.sodium")
    again = importlib.import_module("braidmq.zmtp.sodium")
    assert again is not sodium
    assert not again.IN_PLACE
    assert again._open_at is again._open_copied
    assert again._seal_at is again._seal_copied
    assert again.works()
