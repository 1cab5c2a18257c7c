import pytest

from bench.pumped import Pumped


@pytest.mark.parametrize("shape", [{}, {"clients": 5}, {"services": 5}, {"workers": 3}, {"brokers": 3}], ids=str)
@pytest.mark.parametrize(("batch", "under_way"), [(1, 0), (8, 0), (1, 20)])
def test_every_call_is_answered_and_costs_everybody_something(shape, batch, under_way):
    net = Pumped(**shape)
    net.exchange(40, batch=batch, under_way=under_way)
    assert min(net.cost.client_s, net.cost.broker_s, net.cost.worker_s) > 0
