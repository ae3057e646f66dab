"""The page in a real browser: it opens without a network, and reads well on a desk and a phone."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from sample_report import grid_of_rates, positions_table, sample_report

from conftest import ROOT
from variorum.report.ablation.html import html
from variorum.report.claims import word
from variorum.report.numbers import signed
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


@dataclass(frozen=True)
class Opened:
    """A page in a window, what it asked for while it loaded, and the errors that it told."""

    page: Page
    requests: list[str]
    errors: list[str]


WINDOWS = [(width, scheme) for width in WIDTHS for scheme in ("light", "dark")]


@pytest.fixture(scope="module", params=WINDOWS, ids="-".join)
def opened(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The report, in a window of each width and scheme of colours."""
    name, scheme = request.param
    width, height = WIDTHS[name]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda asked: requests.append(asked.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_load_state("networkidle")
    yield Opened(page, requests, errors)
    page.close()


def test_it_asks_no_network_and_has_no_errors(opened: Opened, address: str) -> None:
    assert opened.requests == [address]
    assert opened.errors == []


def test_key_and_rerun_command_are_to_be_seen(opened: Opened) -> None:
    report = sample_report()
    for text in (report.key.value, report.command.value):
        found = opened.page.get_by_text(text, exact=False).first
        assert found.is_visible(), text
        box = found.bounding_box()
        assert box is not None
        assert box["x"] >= 0


def test_nothing_is_wider_than_the_window(opened: Opened) -> None:
    width = opened.page.evaluate("document.documentElement.scrollWidth")
    assert width <= opened.page.viewport_size["width"]  # type: ignore[index]


def test_text_stands_out_from_its_ground(opened: Opened) -> None:
    ink, paper = opened.page.evaluate(
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


@pytest.mark.parametrize("width", [1200, 390])
def test_differences_and_verdicts_of_a_table_are_seen_without_scrolling(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    for name, table in {"few": positions_table(), "grid": grid_of_rates()}.items():
        file = tmp_path / f"{name}.html"
        file.write_text(html(table, []), encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        first = page.locator("table.compared").first
        for row in table.sections[0].rows:
            if row.difference is not None:
                shown = signed(row.difference.mean, 4)
                assert fits(first.get_by_text(shown).first, width), (name, shown)
        for said in dict.fromkeys(
            word(row.verdict) for row in table.sections[0].compared if row.verdict
        ):
            assert fits(first.get_by_text(said).last, width), (name, said)
        assert not fits(first, 100), "a window narrower than the table"
        page.close()


@pytest.mark.parametrize("width", [1200, 390])
def test_differences_and_verdicts_of_committed_tables_are_seen_without_scrolling(
    browser: Browser, width: int
) -> None:
    files = sorted((ROOT / "reports").glob("*/table.html"))
    assert files
    for file in files:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, file.parent.name
        cells = page.locator("table.compared").first.locator("td:nth-child(-n+3)").all()
        assert len(cells) >= 6
        for cell in cells:  # the variant, its difference, its verdict; or the matrix of a grid
            assert fits(cell, width), (file.parent.name, cell.inner_text())
        page.close()


def fits(cell: Locator, width: int) -> bool:
    """Whether a cell is shown within the window."""
    box = cell.bounding_box()
    return box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
