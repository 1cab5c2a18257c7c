"""The pages of a monitor that is told of nets which cannot be started here: large ones, empty ones, hostile names."""

import pytest
from playwright.sync_api import expect

from tests.support import looks
from tests.support.chromium import PHONE, opened
from tests.support.large_net import large_look

EVIL = '<img src=x onerror="window.harmed = 1">'


def test_names_are_shown_as_text(browser, fed):
    names = (f"b1{EVIL}", f"b2{EVIL}")
    node, service = looks.node(f"w{EVIL}", serves=[f"s{EVIL}"]), looks.service(f"s{EVIL}", queued=3, workers=0)
    fed.take(
        looks.look(looks.told(names[0], names=names, nodes=[node], services=[service]), looks.mute(names[1], EVIL))
    )
    with opened(browser, fed.url) as page:
        expect(page.locator(".finding h3").first).to_contain_text(EVIL)
        for kind, name in (("service", f"s{EVIL}"), ("broker", names[0]), ("broker", names[1]), ("node", f"w{EVIL}")):
            link = page.locator("main table").get_by_role("link", name=name, exact=True).first
            expect(link).to_be_visible()
            link.click()
            expect(page.get_by_role("heading", level=1)).to_contain_text(name)
            assert page.evaluate("decodeURIComponent(location.hash)") == f"#/{kind}/{name}"
            page.go_back()
        assert page.locator("main img").count() == 0
        assert page.evaluate("window.harmed") is None


@pytest.mark.nightly
def test_large_net_is_paged_filtered_and_sorted(browser, fed):
    fed.take(large_look())
    with opened(browser, f"{fed.url}#/nodes") as page:
        expect(page.locator(".page-head")).to_contain_text("2,000 nodes")
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(50)
        expect(rows.first).to_contain_text("node-0")
        page.get_by_role("button", name="Next").click()
        expect(page.locator(".table-status")).to_have_text("51 to 100 of 2,000")
        expect(rows.first).to_contain_text("node-50")
        page.get_by_label("Filter the table: Nodes").fill("node-199")
        expect(page.locator(".table-status")).to_have_text("1 to 11 of 11 that match, of 2,000")
        page.get_by_role("button", name="Node", exact=True).click()
        expect(page.get_by_role("columnheader", name="Node", exact=True)).to_have_attribute("aria-sort", "descending")
        expect(rows.first).to_contain_text("node-1999")
        page.get_by_label("Filter the table: Nodes").fill("no such node")
        expect(page.locator(".table-status")).to_have_text("none of 2,000 matches")


@pytest.mark.nightly
def test_large_net_is_folded_in_its_picture(browser, fed):
    fed.take(large_look())
    with opened(browser, fed.url) as page:
        expect(page.locator(".brokers a")).to_have_count(100)
        expect(page.locator(".topology")).to_have_attribute("data-kind", "rows")
        expect(page.locator(".dots a")).to_have_count(0)
        expect(page.locator(".topology-frame .quiet")).to_contain_text("2,000 nodes are counted at the brokers.")
        for _ in range(3):
            assert page.evaluate("document.querySelectorAll('*').length") < 5000
            fed.take(large_look())


@pytest.mark.nightly
def test_new_look_changes_only_what_differs(browser, fed):
    services = [looks.service(f"s{number}") for number in range(5)]
    fed.take(looks.look(looks.told("b1", names=("b1",), services=services)))
    with opened(browser, fed.url) as page:
        expect(page.locator("tbody tr", has_text="s3")).to_contain_text("0 of 8")
        page.evaluate("""() => {
            globalThis.changed = [];
            const note = (found) => changed.push(...found.map(({type, target}) => type + " " + target.textContent));
            new MutationObserver(note).observe(document.querySelector("tbody"),
                {subtree: true, childList: true, characterData: true, attributes: true});
        }""")
        services[3] = looks.service("s3", outstanding=4)
        fed.take(looks.look(looks.told("b1", names=("b1",), services=services)))
        expect(page.locator("tbody tr", has_text="s3")).to_contain_text("4 of 8")
        assert sorted(page.evaluate("changed")) == ["attributes ", "characterData 4 of 8"]


@pytest.mark.nightly
def test_focus_stays_where_it_is_when_the_page_changes(browser, fed):
    def show(*names):
        fed.take(looks.look(looks.told("b1", names=("b1",), services=[looks.service(name) for name in names])))

    show("m", "z")
    with opened(browser, fed.url) as page:
        link = page.get_by_role("table", name="Services").get_by_role("link", name="m")
        link.focus()
        show("a", "m", "n")
        expect(page.get_by_role("table", name="Services").get_by_role("link", name="n")).to_be_visible()
        expect(link).to_be_focused()


@pytest.mark.nightly
def test_empty_net_says_how_to_begin(browser, fed):
    fed.take(looks.look(looks.told("b1", names=("b1",))))
    with opened(browser, fed.url, size=PHONE) as page:
        expect(page.get_by_text("No service is offered yet.")).to_be_visible()
        expect(page.locator("code", has_text="braidmq serve MODULE:NODE --join NAME.braid")).to_be_visible()
        expect(page.get_by_text("Nothing has happened since the monitor was started.")).to_be_visible()
        expect(page.locator(".topology-frame .quiet")).to_have_text("No node is connected.")


@pytest.mark.nightly
def test_net_that_does_not_answer_is_told_as_that(browser, fed):
    fed.take(looks.look(looks.mute("b1"), looks.mute("b2")))
    with opened(browser, fed.url) as page:
        expect(page.locator(".sentence")).to_contain_text("No broker tells its state")
        expect(page.locator(".health")).to_have_attribute("data-level", "wrong")
        expect(page.locator(".brokers a[data-level=unknown]")).to_have_count(2)


@pytest.mark.nightly
def test_monitor_that_has_not_looked_yet_is_waited_for(browser, fed):
    with opened(browser, fed.url) as page:
        expect(page.locator(".sentence")).to_have_text("Waiting for the monitor to tell how the net is")
        fed.take(looks.look(looks.told("b1", names=("b1",))))
        expect(page.locator(".sentence")).to_contain_text("All is well")


@pytest.mark.nightly
def test_page_of_a_thing_that_goes_stays_and_says_so(browser, fed):
    fed.take(looks.look(looks.told("b1", names=("b1",), nodes=[looks.node("w1")])))
    with opened(browser, f"{fed.url}#/node/w1") as page:
        expect(page.locator(".page-head .badge")).to_have_text("well")
        fed.take(looks.look(looks.told("b1", names=("b1",))))
        expect(page.locator(".page-head .badge")).to_have_text("not there")
        expect(page.get_by_text("The net has no node of this name now.")).to_be_visible()


@pytest.mark.nightly
def test_rows_stand_still_under_the_pointer(browser, fed):
    def show(**outstanding):
        services = [looks.service(name, outstanding=count) for name, count in outstanding.items()]
        fed.take(looks.look(looks.told("b1", names=("b1",), services=services)))

    show(a=1, b=2)
    with opened(browser, fed.url) as page:
        table = page.get_by_role("table", name="Services")
        table.get_by_role("button", name="Load").click()
        names = table.locator("tbody th")
        expect(names).to_have_text(["b", "a"])
        names.first.hover()
        show(a=5, b=2)
        expect(table.locator("tbody")).to_contain_text("5 of 8")
        assert names.all_inner_texts() == ["b", "a"]
        page.mouse.move(0, 0)
        show(a=6, b=2)
        expect(names).to_have_text(["a", "b"])
