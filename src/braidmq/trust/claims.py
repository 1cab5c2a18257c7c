"""What brokers tell of who claims a name by a token, and what of it holds. Pure: whoever tells it is not believed."""

from collections.abc import Iterable
from typing import NamedTuple

from braidmq.errors import ProtocolError
from braidmq.trust import enrolment as enrolments
from braidmq.trust.claimants import rank_of
from braidmq.trust.enrolment import Enrolment
from braidmq.trust.manifest import Manifest


class Claim(NamedTuple):
    """Somebody who claims a name by a token; and how many seconds ago the net has seen it last, as brokers say."""

    enrolment: Enrolment
    ago_s: int


def verified(manifest: Manifest, name: str, told: Iterable[tuple[bytes, int]]) -> list[Claim]:
    """Return those of the enrolments that were told which a token of this registry has signed, and for this name.

    That a broker has admitted it, the signature does not say: whoever holds the token and a broker can tell of any key.
    The keys of members that are registered, those of tokens and those that were revoked are left out.

    Args:
        manifest: the registry.
        name: what is claimed.
        told: enrolments as they travel, and how many seconds ago each was seen.

    Returns:
        One claim for each key, the best one (`rank_of`) first.
    """
    invited = {each.serial: each for each in manifest.invited()}
    taken = {key for each in manifest.certificates for key in each.keys}
    taken |= {each.key for each in manifest.extras.revoked} | {each.curve_key for each in invited.values()}
    found: dict[bytes, Claim] = {}
    for blob, ago_s in told:
        try:
            invitation = invited.get(enrolments.serial_of(blob))
            enrolment = None if invitation is None else enrolments.verify(blob, invitation)
        except ProtocolError:  # it was told by somebody who lies, or is of a token that is gone: no claim either way
            continue
        if enrolment is None or enrolment.name != name or enrolment.key in taken:
            continue
        known = found.get(enrolment.key, Claim(enrolment, ago_s))
        best = min(enrolment, known.enrolment, key=rank_of)
        found[enrolment.key] = Claim(best, min(ago_s, known.ago_s))
    return sorted(found.values(), key=lambda each: rank_of(each.enrolment))
