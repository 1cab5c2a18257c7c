"""Conversations with real libzmq, word for word: tests/vectors/zmtp.json, whose README.md says how to read it."""

import json

import pytest

from tests.support.zmtp_transcripts import CLIENTS, FILE, SERVERS, replayed

CONVERSATIONS = json.loads(FILE.read_text(encoding="utf-8"))
UNREFUSED = [each for each in CONVERSATIONS if not each["end"]]


@pytest.mark.parametrize("pieces", [1, 7, 1 << 20])
@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=[each["name"] for each in CONVERSATIONS])
def test_conversation_with_libzmq_goes_as_it_went(conversation, pieces):
    line = replayed(conversation, pieces)
    assert line.engine.open == (conversation["end"] in ("", "sent a message of several frames"))


def test_every_conversation_that_can_be_recorded_is():
    names = [each["name"] for each in CONVERSATIONS]
    assert names == [each.__name__.replace("_", " ") for each in (*SERVERS, *CLIENTS)]


@pytest.mark.parametrize("conversation", UNREFUSED, ids=[each["name"] for each in UNREFUSED])
def test_conversation_of_which_a_word_was_changed_does_not_go_as_it_went(conversation):
    last = max(at for at, step in enumerate(conversation["steps"]) if "hears" in step)
    word = bytearray.fromhex(conversation["steps"][last]["hears"])
    word[-1] ^= 1
    steps = [*conversation["steps"]]
    steps[last] = {"hears": word.hex()}
    with pytest.raises(AssertionError):
        replayed({**conversation, "steps": steps})
