import pytest

from braidmq.carrier.papers import NodePapers
from braidmq.errors import ConfigError
from braidmq.trust import joinfile
from braidmq.trust.authority import Authority
from braidmq.wire.registry import CertificateIs


@pytest.fixture
def authority(tmp_path):
    return Authority.create(tmp_path / "net")


@pytest.fixture
def worker(authority):
    return joinfile.load(authority.add_node("worker", serves=["s"]))


def file_of(authority, name):
    return joinfile.load(authority.directory / f"{name}.braid")


def hear_of(papers, authority, name):
    """Let papers have a member's newest certificate from a broker."""
    assert papers.take_certificate(CertificateIs(file_of(authority, name).certificate.blob))


def test_file_with_another_key_is_taken_under_the_newest_name(authority, worker):
    papers = NodePapers(worker)
    authority.rename("worker", "miller")
    hear_of(papers, authority, "miller")
    authority.rotate("miller")
    authority.finish("miller")
    assert papers.change(file_of(authority, "miller"))
    assert (papers.member.name, papers.serial) == ("miller", authority.manifest().version)


def test_file_with_another_name_and_key_is_taken_if_its_certificate_has_the_key_of_before(authority, worker):
    papers = NodePapers(worker)
    authority.rename("worker", "miller")
    authority.rotate("miller")
    assert papers.change(file_of(authority, "miller"))
    assert papers.member.name == "miller"


def test_file_of_another_member_is_not_taken_although_it_has_the_name_of_before(authority, worker):
    papers = NodePapers(worker)
    authority.rename("worker", "miller")
    hear_of(papers, authority, "miller")
    other = joinfile.load(authority.add_node("worker", serves=["s"]))
    with pytest.raises(ConfigError, match="it is the file of worker"):
        papers.change(other)
    assert papers.member.name == "miller"


def test_file_of_another_net_is_not_taken(worker, tmp_path):
    other = joinfile.load(Authority.create(tmp_path / "other").add_node("worker", serves=["s"]))
    with pytest.raises(ConfigError, match="another net"):
        NodePapers(worker).change(other)
