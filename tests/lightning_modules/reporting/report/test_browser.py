"""The page in a real browser, where one is installed: nothing sticks out, loads or complains."""

import pytest

from lightning_modules.reporting.report.page import write_report
from lightning_modules.reporting.report.report_input import read_input


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(browser, finished, tmp_path, scheme):
    words = [str(finished("a_very_long_name_of_a_run" * 4)), str(finished("other", "seed=1"))]
    path = write_report(read_input(words), tmp_path / "report.html")
    for width in (390, 1280):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        requests, complaints = [], []
        page.on("request", lambda request, found=requests: found.append(request.url))
        page.on("console", lambda message, found=complaints: found.append(message.text))
        page.on("pageerror", lambda error, found=complaints: found.append(str(error)))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wide = "[...document.querySelectorAll('h1, p, li, dd, img, .tile')]"
        own = f"{wide}.filter(e => !e.closest('.box') && e.getBoundingClientRect().right > {width})"
        assert page.evaluate(f"{own}.map(e => e.textContent)") == []
        assert page.evaluate("[...document.images].every(e => e.complete && e.naturalWidth > 0)")
        boxes = "[...document.querySelectorAll('.box')]"
        assert page.evaluate(f"{boxes}.some(e => e.scrollWidth > e.clientWidth)")  # inside itself
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
        assert complaints == []
        page.close()
