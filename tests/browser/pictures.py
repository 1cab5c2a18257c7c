"""Pictures of the pages for the documents, of a real net: ``python -m tests.browser.pictures``.

They go to docs/images/. It takes two minutes: the plots are to show something. With ``--measure`` it tells instead how
soon a page with 100 brokers and 2,000 nodes is painted, and what keeping it up to date costs the browser.
"""

import argparse
import re
import signal
import tempfile
import time
from pathlib import Path

import click
from playwright.sync_api import expect

from tests.support.calls import Calls
from tests.support.chromium import PHONE, chromium, opened, until
from tests.support.fed_monitor import FedMonitor
from tests.support.large_net import BROKERS, large_look
from tests.support.processes import LiveNet

IMAGES = Path(__file__).parents[2] / "docs" / "images"

SERVING = {
    "pricing-1": ["pricing", "discounts"],
    "pricing-2": ["pricing"],
    "orders-1": ["orders"],
    "orders-2": ["orders", "mail"],
    "pictures-1": ["thumbnail"],
}
CALLING = {"shop": ["pricing", "orders"], "billing": ["orders", "discounts"], "web": ["thumbnail", "pricing"]}

HISTORY_S = 60
"""So much is to be seen in the plots."""

LOOKS = 5
"""Looks that a page takes in while its costs are measured."""


def main() -> None:
    """Make the pictures, or measure."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--measure", action="store_true", help="tell how soon a large net is painted")
    measure() if options.parse_args().measure else make()


def make():
    """Make all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with chromium() as browser, tempfile.TemporaryDirectory() as directory, LiveNet(Path(directory) / "net") as net:
        net.add_members("b1", "b2", "b3")
        net.add_node("watch", observe=True)
        for name in SERVING:
            net.add_node(name, serves=["*"])
        for name in CALLING:
            net.add_node(name, calls=["*"])
        brokers = {name: net.broker(name) for name in ("b1", "b2", "b3")}
        monitor = net.start("monitor", "--join", net.join("watch"), "--http", "127.0.0.1:0")
        url = monitor.wait_for_line("shows the net at ").rpartition(" ")[2].strip()
        with Calls(net, SERVING, CALLING):
            with opened(browser, url) as page:
                lasts = "document.querySelector('.plot .unseen')?.textContent ?? ''"
                begun = time.monotonic()
                until(page, lambda: page.evaluate(lasts) and time.monotonic() - begun > HISTORY_S, HISTORY_S * 10)
                picture(page, "light", 1220)
            with opened(browser, url, scheme="dark") as page:
                picture(page, "dark", 1220)
            with opened(browser, url, size=PHONE) as page:
                picture(page, "phone", PHONE["height"] * 2)
            brokers["b2"].end(signal.SIGKILL)
            with opened(browser, url) as page:
                expect(page.locator(".sentence")).to_have_text(re.compile("b2 is dead"))
                picture(page, "killed-broker", 1160)


def picture(page, name, height):
    """Take a picture of the upper part of a page."""
    expect(page.locator("figure canvas").first).to_be_visible()
    expect(page.locator(".legend b").first).to_have_text(re.compile(r"^\d"))
    page.set_viewport_size({"width": page.viewport_size["width"], "height": height})
    page.screenshot(path=IMAGES / f"monitor-{name}.png")


def measure():
    """Tell how soon a large net is painted, and what a look at it costs the page."""
    fed = FedMonitor()
    try:
        fed.take(large_look())
        with chromium() as browser:
            for _ in range(3):
                with opened(browser, "about:blank") as page:
                    told(page, fed)
    finally:
        fed.close()


def told(page, fed):
    """Tell the times of one page: those that pass, and those of the processor for its main thread."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    begun = costs(session)
    page.goto(fed.url, wait_until="commit")
    shown = "performance.getEntriesByName('braidmq-shown').map(({startTime}) => startTime)"
    until(page, lambda: page.evaluate(shown))
    first = costs(session)["Task"] - begun["Task"]
    painted = page.evaluate("performance.getEntriesByType('paint').map(({startTime}) => startTime)")
    until(page, lambda: page.locator(".brokers a").count() == BROKERS)
    before = costs(session)
    for turn in range(LOOKS):
        fed.take(large_look(turn + 1))
        page.wait_for_timeout(1_000)
    each = {name: (value - before[name]) / LOOKS for name, value in costs(session).items()}
    spent = ", ".join(f"{name} {1_000 * value:.0f} ms" for name, value in each.items())
    click.echo(
        f"first paint after {max(painted):.0f} ms, the first screen after {page.evaluate(shown)[0]:.0f} ms and "
        f"{1_000 * first:.0f} ms of the processor; each further look takes of it: {spent}"
    )


def costs(session):
    """Return the seconds that a page has spent so far."""
    told_of = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return {name: told_of[f"{name}Duration"] for name in ("Task", "Script", "Layout", "RecalcStyle")}


if __name__ == "__main__":
    main()
