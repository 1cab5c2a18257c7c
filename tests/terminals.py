"""Pictures of terminals for the documents, as SVG: ``python -m tests.terminals``. They go to docs/images/.

The demo's is that of the README in colour; `braidmq top` is drawn from the reports that its tests read.
"""

import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from braidmq.cli.top.pages import Net
from braidmq.cli.top.picture import frame
from braidmq.cli.top.state import Screen
from tests.support.three_brokers import looks

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"

COLUMNS, LINES = 80, 24

FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<!-- Written by tests/terminals.py: make docs-tables -->
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px;
line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
<rect width="{width}" height="{height}" rx="8" fill="#1e1e1e"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""Without the fonts that rich's own frame loads from the network."""

COLOURS = {
    r"[█▁▂▃▄▅▆▇▀]+": "cyan",
    r"▲|✗ killed|kill -9 b\d": "bold red",
    r"● up|serves again": "green",
    r"(?<= )\d[\d,.]*(?= |$)": "bold",
    r"[╭╮╰╯│─]+": "grey50",
}
"""What stands out in the demo."""


def pictures():
    """Return all pictures by the names of their files."""
    return {"demo.svg": demo(), "top.svg": top()}


def demo():
    """Return the demo as it stands in the README."""
    [block] = re.findall(r"^```\n( BraidMQ demo.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = []
    for line in block.splitlines():
        text = Text(line)
        for pattern, style in COLOURS.items():
            text.highlight_regex(pattern, style)
        lines.append(text)
    return drawn(lines, "demo")


def top():
    """Return what `braidmq top` shows of a net of three brokers, of which one is dead."""
    seen = Net.of(looks("b2"))
    screen = Console(file=io.StringIO(), width=COLUMNS, height=LINES, force_terminal=True, color_system="standard")
    return drawn([Text.from_ansi(line) for line in frame(screen, Screen(), seen, "10:41:02")], "top")


def drawn(lines, name):
    """Return lines of a terminal as SVG."""
    console = Console(file=io.StringIO(), width=COLUMNS, record=True, force_terminal=True, color_system="standard")
    for line in lines:
        console.print(line, no_wrap=True, crop=True)
    return console.export_svg(title="", theme=MONOKAI, code_format=FRAME, unique_id=f"{name}-terminal")


def main():
    """Write the pictures."""
    for name, text in pictures().items():
        (IMAGES / name).write_text(text)


if __name__ == "__main__":
    main()
