"""The page of `scripts/app.py` in a real browser, where one is installed; and what it refuses."""

import os
import shutil
import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest
from omegaconf import OmegaConf

from lightning_modules.config.command_line import report_errors
from lightning_modules.networks import build_network, save_network
from scripts import app
from tests.conftest import ROOT


@pytest.fixture
def runs(saved, homes):
    """Two finished runs, whose classes differ."""
    other = homes / "smaller"
    shutil.copytree(saved / ".hydra", other / ".hydra")
    cfg = OmegaConf.load(saved / ".hydra" / "config.yaml")
    network = build_network(cfg.model, num_classes=2, image_size=[32, 32]).eval()
    network.class_names = ("dark", "light")
    save_network(network, other)
    return [str(saved), str(other)]


@pytest.fixture
def served(runs):
    """The address of the page."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "scripts/app.py", *runs, f"port={port}"]
    offline = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **offline, "no_proxy": "127.0.0.1"},
    )
    address, limit = f"http://127.0.0.1:{port}", time.time() + 120
    while process.poll() is None and time.time() < limit:
        try:
            urlopen(address, timeout=5).close()
            break
        except OSError:
            time.sleep(0.1)
    assert process.poll() is None, process.stdout.read()
    yield address
    process.kill()
    said = process.communicate()[0]
    assert "Traceback" not in said and f"page        {address}" in said


@pytest.mark.slow
def test_a_picture_in_the_page(browser, served, folder, tmp_path):
    pytest.importorskip("gradio", reason="needs the extra [app]")
    picture, broken = folder / "val" / "red" / "0.png", tmp_path / "broken.jpg"
    broken.write_text("no picture")
    for width in (390, 1280):
        page = browser.new_page(viewport={"width": width, "height": 800})
        requests, complaints = [], []
        page.on("request", lambda request, found=requests: found.append(request.url))
        page.on("pageerror", lambda error, found=complaints: found.append(str(error)))
        page.goto(served)
        page.wait_for_selector("#predictions .network")
        page.set_input_files("input[type=file]", str(picture))
        page.wait_for_selector("#predictions table")
        tables = page.query_selector_all("#predictions table")
        assert len(tables) == 2
        assert [len(table.query_selector_all("tbody tr")) for table in tables] == [3, 2]
        names = [heading.inner_text() for heading in page.query_selector_all("#predictions h2")]
        assert [name.rpartition("/")[2] for name in names] == ["run", "smaller"]
        boxes = [table.bounding_box() for table in tables]
        beside = boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
        assert beside == (width == 1280)  # on a telephone one below the other
        assert all(box["x"] + box["width"] <= width for box in boxes)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.click("[aria-label='Remove Image'], [aria-label='Clear']")
        page.wait_for_selector("#predictions table", state="detached")
        page.set_input_files("input[type=file]", str(broken))
        page.wait_for_selector("#predictions .mistake")
        said = page.inner_text("#predictions .mistake")
        assert said.startswith("The image broken.jpg cannot be decoded") and "/" not in said
        own = (served, served.replace("http", "ws"), "data:", "blob:")
        assert [url for url in requests if not url.startswith(own)] == []
        assert complaints == []
        page.close()


def test_without_gradio(homes, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    refuses(["last"], "The page needs gradio, which is not installed; install it with: pip")


def test_what_it_refuses(homes, tmp_path):
    pytest.importorskip("gradio", reason="needs the extra [app]")
    for words, sentence in {
        (str(tmp_path / "nothing"),): "nothing does not exist; give a run",
        ("port=99999", "last"): "port=99999 is not allowed; it must be in 1..65535",
        ("port=7860",): "Name one or more runs",
    }.items():
        refuses(words, sentence)


def refuses(words, sentence):
    with pytest.raises(SystemExit) as refusal, report_errors():
        app.main(words)
    assert sentence in str(refusal.value)
