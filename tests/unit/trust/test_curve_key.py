import pytest
from nacl.bindings import crypto_scalarmult
from nacl.public import PrivateKey

from braidmq.errors import ConfigError
from braidmq.trust.curve_key import _LOW_ORDER, _PRIME, check_curve_key

KEY = bytes(PrivateKey(b"k" * 32).public_key)


def spelled(number):
    return number.to_bytes(32, "little")


def test_keys_that_libsodium_makes_are_keys():
    for byte in range(256):
        key = bytes(PrivateKey(bytes((byte,)) * 32).public_key)
        assert check_curve_key(key) == key


@pytest.mark.parametrize("number", sorted(_LOW_ORDER))
def test_points_with_which_everybody_has_the_same_secret_are_no_keys(number):
    with pytest.raises(RuntimeError):  # libsodium refuses them as well, once they are used
        crypto_scalarmult(b"x" * 32, spelled(number))
    with pytest.raises(ConfigError, match="nobody's"):
        check_curve_key(spelled(number))


def test_a_second_spelling_of_a_key_is_no_key():
    other = KEY[:31] + bytes((KEY[31] | 0x80,))
    assert crypto_scalarmult(b"x" * 32, other) == crypto_scalarmult(b"x" * 32, KEY)
    nine = crypto_scalarmult(b"x" * 32, spelled(9))
    assert crypto_scalarmult(b"x" * 32, spelled(_PRIME + 9)) == nine
    for key in (other, spelled(_PRIME + 9), spelled(_PRIME), b"\xff" * 32):
        with pytest.raises(ConfigError, match="nobody's"):
            check_curve_key(key)
    check_curve_key(spelled(9))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_has_32_bytes(size):
    with pytest.raises(ConfigError, match=f"32 bytes, not {size}"):
        check_curve_key(b"k" * size)
