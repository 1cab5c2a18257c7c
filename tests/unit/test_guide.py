"""The examples of the documents are what they say: they run, under plain pytest, in the order in which they stand."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from braidmq import BrokerObserver, NodeObserver
from braidmq.trust.authority import Authority

ROOT = Path(__file__).parents[2]
_SECTION = re.compile(r"^## ", re.MULTILINE)
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(document, section):
    for text in _SECTION.split((ROOT / document).read_text()):
        if text.startswith(f"{section}\n"):
            return _PYTHON.findall(text)
    raise AssertionError(f"{document} has no section {section}")


def test_the_tests_of_the_guide_pass_under_pytest_with_no_plugin_but_ours(tmp_path):
    (tmp_path / "worker.py").write_text(examples("docs/guide.md", "A worker")[0])
    tests = examples("docs/guide.md", "Testing")
    for number, test in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(test)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "braidmq.pytest_plugin", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert f"{len(tests)} passed" in result.stdout, result.stdout


@pytest.mark.parametrize(
    ("document", "section"), [("README.md", "Two minutes to a net of your own"), ("docs/guide.md", "A worker")]
)
def test_the_worker_of_the_documents_can_be_imported_without_a_join_file(document, section):
    [example, *_] = examples(document, section)
    namespace: dict[str, Any] = {"__name__": "worker"}
    exec(example, namespace)
    assert [service.name for service in namespace["services"]] == ["pricing"]


def test_the_observers_of_the_api_reference_have_hooks_that_are_called(tmp_path, monkeypatch):
    shutil.copy(Authority.create(tmp_path / "net").add_node("shop", calls=["*"]), tmp_path / "shop.braid")
    monkeypatch.chdir(tmp_path)
    found = {}
    for example in examples("docs/api.md", "Observers"):
        exec(example, found)
    for name, base in (("Metrics", NodeObserver), ("Queues", BrokerObserver)):
        hooks = [hook for hook in vars(found[name]) if hook.startswith("on_")]
        assert hooks
        for hook in hooks:
            parameters = [inspect.signature(getattr(kind, hook)).parameters for kind in (found[name], base)]
            assert list(parameters[0]) == list(parameters[1])
    metrics = found["Metrics"]()
    metrics.on_call_end(b"id", None, 0.5, 1.0)
    assert (metrics.calls, metrics.slowest_s) == ({"NoneType": 1}, 0.5)
    found["observer"].on_request_queued(b"id", "s", 3, 1.0)
    assert found["observer"].longest == {"s": 3}
