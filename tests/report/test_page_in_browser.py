"""The page in a real browser: it opens without a network, and reads well on a desk and a phone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from sample_report import sample_report

from variorum.report.page import render

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
OFFLINE = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
WIDTHS = {"desk": (1280, 900), "tablet": (768, 1024), "phone": (390, 844)}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here to look with")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OFFLINE)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(sample_report()), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(params=[(w, c) for w in WIDTHS for c in ("light", "dark")], ids="-".join)
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    name, scheme = request.param
    width, height = WIDTHS[name]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    yield page
    page.close()


def test_it_asks_no_network_and_has_no_errors(page: Page, address: str) -> None:
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_load_state("networkidle")
    assert requests == [address]
    assert errors == []


def test_key_and_rerun_command_are_to_be_seen(page: Page, address: str) -> None:
    page.goto(address)
    report = sample_report()
    for text in (report.key.value, report.command.value):
        found = page.get_by_text(text, exact=False).first
        assert found.is_visible(), text
        box = found.bounding_box()
        assert box is not None
        assert box["x"] >= 0


def test_nothing_is_wider_than_the_window(page: Page, address: str) -> None:
    page.goto(address)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]  # type: ignore[index]


def test_text_stands_out_from_its_ground(page: Page, address: str) -> None:
    page.goto(address)
    ink, paper = page.evaluate(
        """() => { const style = getComputedStyle(document.body);
                   return [style.color, style.backgroundColor] }"""
    )
    assert contrast(ink, paper) > 7, f"{ink} on {paper}"


def contrast(first: str, second: str) -> float:
    """WCAG 2.1's contrast ratio of two `rgb(r, g, b)` colours."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    channels = [int(part) / 255 for part in color.strip("rgba()").split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_browser_is_told_from_a_broken_page(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "broken.html"
    file.write_text("<p style='width: 3000px'>wide<script>undefined_function()</script>")
    page = browser.new_page(viewport={"width": 390, "height": 844})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    assert errors
    assert page.evaluate("document.documentElement.scrollWidth") > 390
    page.close()
