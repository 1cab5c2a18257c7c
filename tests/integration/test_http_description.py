"""The HTTP gateway does what its own description, OpenAPI 3.1, says: schemathesis asks, and checks the answers."""

import asyncio

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import ignored_auth, missing_required_header, positive_data_acceptance

from braidmq import Settings
from tests.integration.test_http import scene

UNFIT = [
    ignored_auth,  # who needs no token may call
    missing_required_header,  # none is required
    not_a_server_error,  # 502 to 504 are described; that there is no 500 is asked for below
    positive_data_acceptance,  # a service that nobody provides is described, and no success
]

SERVICES = ["pricing", "picky", "nothing", "secret"]


async def hold(operation, change):
    """Let schemathesis make requests to an operation, changed by `change`, and check their answers."""
    async with scene(settings=Settings.test(attempts=1, wait_for_worker="never")) as it:

        def ask():
            schema = schemathesis.openapi.from_url(f"{it.url}/openapi.json")
            path, method = operation

            @settings(max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
            @given(case=schema[path][method].as_strategy(), draw=st.data())
            def holds(case, draw):
                change(case, draw)
                case.call_and_validate(excluded_checks=UNFIT)

            holds()

        await asyncio.to_thread(ask)
        assert 500 not in it.bridge.gateway.answers
        return it.bridge.gateway.answers


@pytest.mark.nightly
async def test_calls_are_answered_as_described():
    def change(case, draw):
        if draw.draw(st.booleans()):
            case.path_parameters["service"] = draw.draw(st.sampled_from(SERVICES))

    answers = await hold(("/services/{service}", "POST"), change)
    assert answers[200]
    assert sum(answers.values()) > 30


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json"])
async def test_its_own_places_are_as_described(path):
    assert (await hold((path, "GET"), lambda case, draw: None))[200]
