import pytest

from braidmq.bridges.http.core.messages import Head
from braidmq.bridges.http.core.problems import Refused
from braidmq.bridges.http.core.target import Place, route


def routed(target, method="POST"):
    return route(Head(method, target, []))


def refused(target, method="POST"):
    with pytest.raises(Refused) as told:
        routed(target, method)
    return told.value


@pytest.mark.parametrize(
    ("target", "service"),
    [
        (b"/services/pricing", "pricing"),
        (b"/services/orders/v1:new", "orders/v1:new"),
        (b"/services/orders%2Fv1", "orders/v1"),
        (b"/services/%70ricing", "pricing"),
    ],
)
def test_the_path_names_the_service(target, service):
    where = routed(target)
    assert (where.place, where.service) == (Place.SERVICE, service)


@pytest.mark.parametrize(
    "name",
    [b"", b"%2e%2e/x", b"../x", b"a%20b", b"%252Fx", b"\xc3\xa4", b"%C3%A4", b"x" * 128, b"a%", b"a%zz", b"a%00"],
)
def test_what_cannot_name_a_service_is_not_found(name):
    answer = refused(b"/services/" + name).answer
    assert answer.status == 404
    assert b"urn:braidmq:no-service-name" in answer.body


@pytest.mark.parametrize("target", [b"/", b"/services", b"*", b"/Services/x", b"//services/x", b"http://h/services/x"])
def test_there_is_nothing_else(target):
    assert refused(target).answer.status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_services_are_called_by_post_alone(method):
    answer = refused(b"/services/pricing", method).answer
    assert answer.status == 405
    assert (b"allow", b"POST") in answer.fields


def test_the_gateways_own_places_are_read():
    assert routed(b"/healthz", "GET").place is Place.HEALTH
    assert routed(b"/readyz", "HEAD").place is Place.READINESS
    assert routed(b"/openapi.json", "GET").place is Place.DESCRIPTION
    assert (b"allow", b"GET, HEAD") in refused(b"/healthz", "POST").answer.fields


def test_a_query_is_refused_as_nobody_would_get_it():
    assert refused(b"/services/pricing?x=1").answer.status == 400
    assert routed(b"/services/pricing?").service == "pricing"
