"""A headless Chromium, as Debian has it, driven by playwright. Tests of pages are skipped where there is none."""

import shutil
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
from playwright.sync_api import expect, sync_playwright

VENDOR = Path(__file__).parents[1] / "browser" / "vendor"

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--no-default-browser-check",
]  # fmt: skip
"""What it is started with: it is to ask nobody but the monitor."""

WAIT_MS_MAX = 60_000
"""How long a page may take to come to what is waited for: far more than any of them takes."""

POLL_MS = 50

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@contextmanager
def chromium():
    """Start a browser."""
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")  # the former needs half of the time
    if path is None:
        pytest.skip("there is no Chromium: 'apt-get install chromium-headless-shell' brings it")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS, timeout=WAIT_MS_MAX)
        yield browser
        browser.close()


@contextmanager
def opened(browser, url, *, size=DESKTOP, scheme="light"):
    """Open a page in a context of its own; what went wrong in its scripts fails the test."""
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    context.set_default_timeout(WAIT_MS_MAX)
    expect.set_options(timeout=WAIT_MS_MAX)
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(f"{error.message}\n{error.stack}"))
    page.on("console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None)
    page.goto(url)
    yield page
    context.close()
    assert not errors, errors


def until(page, condition, timeout=WAIT_MS_MAX / 1000):
    """Wait until something holds that no expectation of playwright tells."""
    give_up_at = monotonic() + timeout
    while not condition():
        assert monotonic() < give_up_at, "it did not come to this"
        page.wait_for_timeout(POLL_MS)


def complaints(page):
    """Return what axe-core finds that is serious or worse."""
    page.evaluate((VENDOR / "axe-core" / "axe.min.js").read_text() + "\n;null")
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    return [
        (each["id"], each["help"], [node["html"] for node in each["nodes"]][:5])
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]
