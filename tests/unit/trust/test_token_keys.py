import hashlib
import hmac

import pytest
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from braidmq.errors import ConfigError
from braidmq.trust.token_keys import TokenKeys, new_seed

SEED = bytes(range(32))


def test_both_keys_come_from_the_seed_each_under_its_domain():
    keys = TokenKeys.of(SEED)
    assert keys.signing_seed == hmac.new(SEED, b"BRAID/1 token signing key\0", hashlib.sha256).digest()
    assert keys.curve_secret_key == hmac.new(SEED, b"BRAID/1 token CURVE key\0", hashlib.sha256).digest()
    assert keys.key == bytes(SigningKey(keys.signing_seed).verify_key)
    assert keys.curve_key == bytes(PrivateKey(keys.curve_secret_key).public_key)
    assert len({SEED, keys.signing_seed, keys.curve_secret_key, keys.key, keys.curve_key}) == 5


def test_secrets_are_not_shown():
    keys = TokenKeys.of(SEED)
    for shown in (repr(keys), str(keys), f"{keys}"):
        for secret in (keys.signing_seed, keys.curve_secret_key):
            assert repr(secret)[2:-1] not in shown
            assert secret.hex() not in shown


def test_seeds_are_new_and_have_32_bytes():
    assert len({new_seed() for _ in range(10)}) == 10
    assert len(new_seed()) == 32
    for wrong in (b"", SEED[:-1], SEED + b"x"):
        with pytest.raises(ConfigError, match="32 bytes"):
            TokenKeys.of(wrong)
