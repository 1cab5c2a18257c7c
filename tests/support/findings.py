"""What `braidmq status` finds in a net of real processes."""

import json
import subprocess

from tests.support.processes import BRAIDMQ, environment, wait_until


def status(net):
    """What `braidmq status` tells in JSON."""
    command = [*BRAIDMQ, "status", "--json", "--join", str(net.join("observer"))]
    result = subprocess.run(command, capture_output=True, env=environment(), timeout=60, check=False)
    assert result.stderr == b""
    told = json.loads(result.stdout)
    assert told["well"] is (result.returncode == 0)
    assert told["well"] is not any(each["wrong"] for each in told["findings"])
    return told


def named(net, kind, who):
    """Wait until a fault is named; return the finding."""

    def found():
        told = status(net)
        fits = [each for each in told["findings"] if each["kind"] == kind.value and who in each["who"]]
        if fits and fits[0]["wrong"]:
            assert not told["well"]
        return fits[0] if fits else None

    return wait_until(found, f"{kind.value} of {who} is named")


def well(net):
    """Wait until all is well."""
    return wait_until(lambda: (told := status(net))["well"] and told, "all is well")
