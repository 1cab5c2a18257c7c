"""The site that `make docs` has made, as files in a browser: it loads nothing from elsewhere, and can be searched."""

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.chromium import PHONE, opened
from tests.support.nights import cases

SITE = Path(os.environ.get("BRAIDMQ_SITE", Path(__file__).parents[2] / "site"))
PAGES = ("index", "concepts/request", "operations")

pytestmark = pytest.mark.skipif(
    not all((SITE / f"{page}.html").exists() for page in PAGES), reason="`make docs` makes the site, with all its pages"
)


@pytest.fixture
def asked(browser):
    """A page, and all that it asks for."""
    with opened(browser, "about:blank", size=PHONE) as page:
        asked_for = []
        page.on("request", lambda request: asked_for.append(request.url))
        yield page, asked_for


@cases("name", PAGES, one_in=3)
def test_a_page_asks_for_files_of_the_site_only_and_fits_a_phone(asked, name):
    page, asked_for = asked
    page.goto(f"{SITE.as_uri()}/{name}.html")
    assert asked_for
    assert [url for url in asked_for if not url.startswith((SITE.as_uri(), "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


@pytest.mark.nightly
def test_search_finds_without_a_server(asked):
    page, asked_for = asked
    page.goto(f"{SITE.as_uri()}/index.html")
    page.locator("label.md-header__button[for=__search]").click()
    page.locator(".md-search__input").press_sequentially("possible_duplicate")
    expect(page.locator(".md-search-result__meta")).to_have_text(re.compile(r"\d+ matching documents"))
    assert page.locator(".md-search-result__item a[href*='guide.html']").count()
    assert [url for url in asked_for if not url.startswith((SITE.as_uri(), "data:", "blob:"))] == []
