"""What commands write is printable, whatever peers have said."""

import ast
from pathlib import Path

import braidmq.cli


def test_every_json_that_a_command_writes_is_made_printable():
    checked = 0
    for path in Path(braidmq.cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("click.echo", "self._writer.write"):
                written = ast.unparse(node.args[0])
                assert not written.startswith(("msgspec.json.encode", "encode")), f"{path.name}: {written}"
                checked += written.startswith("printable_json(")
    assert checked >= 8
