"""The pages of a monitor of a real net, in a real browser."""

import re
import signal

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import TOKEN, start_monitor
from tests.support.chromium import DESKTOP, PHONE, complaints, opened, until
from tests.support.nights import nightly_but

LOOKS = {
    "light": {"scheme": "light", "size": DESKTOP},
    "dark": {"scheme": "dark", "size": DESKTOP},
    "phone-light": {"scheme": "light", "size": PHONE},
    "phone-dark": {"scheme": "dark", "size": PHONE},
}

PLACES = ["", "#/brokers", "#/broker/b1", "#/service/echo", "#/node/worker", "#/log", "#/nothing"]


def sentence(page):
    return page.locator(".sentence")


def broker(page, name):
    return page.locator(".brokers a").filter(has=page.locator("title", has_text=f"broker {name}:"))


def test_first_page_tells_health_services_and_the_net(browser, net):
    with opened(browser, net.monitor.url) as page:
        expect(sentence(page)).to_contain_text("All is well: 3 brokers (b1, b2, b3)")
        expect(page.locator(".health [role=status]")).to_contain_text("All is well")
        services = page.get_by_role("table", name="Services")
        expect(services.get_by_role("link", name="echo")).to_have_attribute("href", "#/service/echo")
        for name in ("b1", "b2", "b3"):
            expect(broker(page, name)).to_have_attribute("data-level", "well")
        expect(page.locator(".ways line[data-level=well]")).to_have_count(3)
        expect(page.locator(".dots a[data-role=worker] title")).to_have_text("worker worker: well")
        expect(page.locator(".topology-frame .quiet")).to_contain_text("All 3 pairs of brokers see each other.")


@pytest.mark.nightly
def test_plots_move(browser, net):
    with opened(browser, net.monitor.url) as page:
        rate = page.locator("figure", has_text="Calls per second")
        expect(rate.locator(".legend b").first).to_have_text(re.compile(r"^[1-9]"))
        pixels = "document.querySelector('figure canvas').toDataURL()"
        before = page.evaluate(pixels)
        until(page, lambda: page.evaluate(pixels) != before)


def test_killed_broker_is_named_marked_and_has_a_remedy(browser, net):
    with opened(browser, net.monitor.url) as page:
        expect(broker(page, "b2")).to_have_attribute("data-level", "well")
        net.brokers["b2"].end(signal.SIGKILL)
        try:
            expect(sentence(page)).to_have_text(re.compile(r"wrong: b2 is dead"))
            expect(page.locator(".health")).to_have_attribute("data-level", "wrong")
            expect(page.locator(".health [role=status]")).to_contain_text("b2 is dead")
            finding = page.locator(".finding", has_text="b2 is dead")
            expect(finding.locator(".finding-since")).to_have_text(re.compile(r"since \d\d:\d\d:\d\d"))
            expect(finding.locator("code", has_text="braidmq broker --join b2.braid")).to_be_visible()
            expect(finding.get_by_role("button", name="Copy")).to_be_visible()
            expect(broker(page, "b2")).to_have_attribute("data-level", "wrong")
            expect(broker(page, "b2").locator(".broker-count")).to_have_text("dead")
            expect(page.locator(".ways line[data-level=wrong]")).to_have_count(2)
            row = page.get_by_role("table", name="Brokers").get_by_role("row", name="b2")
            expect(row.locator(".badge")).to_have_text("dead")
            expect(page.locator(".log")).to_contain_text("b2 is dead")
            finding.get_by_role("link", name="b2").click()
            expect(page.get_by_role("heading", level=1)).to_have_text("Broker b2")
            expect(page.get_by_role("heading", level=1)).to_be_focused()
            expect(page.locator("code", has_text="braidmq revoke b2 --net DIR")).to_be_visible()
        finally:
            net.brokers["b2"] = net.broker("b2")
        expect(sentence(page)).to_contain_text("All is well")


@pytest.mark.nightly
def test_page_says_that_the_monitor_is_away_and_comes_back_with_it(browser, net):
    with opened(browser, net.monitor.url) as page:
        expect(page.locator(".lamp")).to_have_text("live")
        net.monitor.child.end(signal.SIGKILL)
        away = page.locator(".away")
        expect(away).to_contain_text("The monitor does not answer. What is shown is from")
        expect(away).to_contain_text(re.compile("Next try in|Trying"))
        expect(page.locator(".health-note")).to_contain_text("the monitor has not answered since")
        expect(page.get_by_role("table", name="Services")).to_contain_text("echo")
        net.monitor = start_monitor(net, "watch", port=net.monitor.port)
        expect(page.locator(".lamp")).to_have_text("live")
        expect(away).to_be_hidden()


def test_token_is_wanted_and_opens_the_page(browser, net):
    with opened(browser, net.guarded.url) as page:
        token = page.get_by_label("Token")
        expect(token).to_be_focused()
        expect(page.get_by_role("heading", name="This monitor wants a token")).to_be_visible()
        for path in ("net", "log", "history?of=net&span=hour", "stream"):
            assert page.evaluate("path => fetch(path).then(answer => answer.status)", f"api/{path}") == 401
        assert complaints(page) == []
        token.fill("another-token-of-many-letters")
        token.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("That is not the token")
        token.fill(TOKEN)
        token.press("Enter")
        expect(sentence(page)).to_contain_text("brokers (b1")
        assert TOKEN not in page.content()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="This monitor wants a token")).to_be_visible()
        expect(page.locator(".health")).to_be_hidden()


@pytest.mark.nightly
def test_service_is_called_from_its_page_and_the_way_is_told(browser, net):
    with opened(browser, f"{net.monitor.url}#/service/echo") as page:
        expect(page.get_by_text("This monitor was started without a token")).to_be_visible()
        expect(page.get_by_role("button", name="Test call")).to_be_hidden()
    with opened(browser, f"{net.guarded.url}#/service/echo") as page:
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Test call").click()
        dialog = page.get_by_role("dialog", name="Call echo")
        expect(dialog.get_by_label("Payload")).to_be_focused()
        dialog.get_by_label("Payload").fill("<b>hello</b>")
        dialog.get_by_role("button", name="Call it").click()
        expect(dialog.locator(".done")).to_contain_text("worker has answered over b")
        expect(dialog.locator("pre")).to_have_text("<b>hello</b>")
        expect(dialog.locator(".facts")).to_contain_text(re.compile("guard → b[123] → worker"))
        expect(dialog.locator(".facts")).to_contain_text("Attempt 1")
        assert complaints(page) == []
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(page.get_by_role("button", name="Test call")).to_be_focused()


@pytest.mark.nightly
def test_node_is_taken_out_and_put_back_from_its_page(browser, net):
    with opened(browser, f"{net.guarded.url}#/node/worker") as page:
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        for name, title, verb, said in (
            ("Take out", "Take worker out?", "Take it out", "worker is out: b1: "),
            ("Put back", "Put worker back?", "Put it back", "worker is back: b1: "),
        ):
            page.get_by_role("button", name=name).click()
            dialog = page.get_by_role("dialog", name=title)
            dialog.get_by_role("button", name=verb).click()
            expect(dialog.locator(".done")).to_contain_text(said)
            dialog.get_by_role("button", name="Close").click()
            expect(dialog).to_be_hidden()
        page.goto(f"{net.guarded.url}#/broker/b2")
        page.get_by_role("button", name="Drain").click()
        dialog = page.get_by_role("dialog", name="Drain b2?")
        dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_be_hidden()


@pytest.mark.nightly
def test_keyboard_goes_through_the_page_in_its_order(browser, net):
    with opened(browser, net.monitor.url) as page:
        expect(page.locator(".finding")).to_have_count(0, timeout=60_000)  # that a broker is new is a note for 10 s
        expect(page.get_by_role("table", name="Services").get_by_role("link", name="echo")).to_be_visible()
        stops = []
        for _ in range(12):
            page.keyboard.press("Tab")
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert page.evaluate(outline) != "none", stops
            stops.append(page.evaluate("document.activeElement.textContent.trim()"))
        head = ["Skip to the content", "BraidMQ", "Overview", "Services", "Brokers", "Nodes", "Log"]
        assert stops[:7] == head
        assert stops[7:] == ["All services on a page", "Service", "State", "Workers", "Load"]
        page.reload()
        expect(page.locator(".lamp")).to_have_text("live")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        assert page.url.endswith("/")


@pytest.mark.parametrize("look", nightly_but(("phone-dark",), LOOKS))
@pytest.mark.parametrize("place", nightly_but(("#/service/echo",), PLACES))
def test_axe_finds_nothing_serious(browser, net, look, place):
    with opened(browser, f"{net.monitor.url}{place}", **LOOKS[look]) as page:
        expect(page.locator(".lamp")).to_have_text("live")
        expect(page.locator(".place h1")).to_be_attached()
        assert complaints(page) == []
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, "the page is wider than the screen"
