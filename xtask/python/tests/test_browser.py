"""Uses the tutorial in JupyterLab as a learner does, in a browser without a window."""

import json
import os
import re
import shutil
import subprocess
import time
from urllib.request import urlopen

import nbformat
import pytest
from conftest import solved
from playwright.sync_api import expect, sync_playwright
from session import read

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
PORT, TOKEN = 8917, "test"
URL = f"http://127.0.0.1:{PORT}"
NOTEBOOK = "W1D5_Tutorial1.ipynb"
# Switches off what a test does not need, such as Chromium's own traffic.
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-quic"]


def start_lab(folder):
    settings = folder / "settings/@jupyterlab/notebook-extension"
    settings.mkdir(parents=True)
    # All cells in the page, also those that are scrolled out of sight.
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))
    lab = subprocess.Popen(
        [os.environ["JUPYTER_LAB"], "--no-browser", "--allow-root", f"--port={PORT}",
         "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}",
         f"--ServerApp.root_dir={folder}"],
        env={**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")},
        stdout=open(folder / "lab.log", "w"), stderr=subprocess.STDOUT,
    )
    for _ in range(120):
        try:
            urlopen(f"{URL}/api?token={TOKEN}")
            return lab
        except OSError:
            time.sleep(0.5)
    pytest.fail("JupyterLab does not answer")


class Notebook:
    def __init__(self, page, ids):
        self.page, self.ids = page, ids

    def cell(self, id):
        return self.page.locator(".jp-Notebook .jp-Cell").nth(self.ids.index(id))

    def idle(self):
        """Waits until the kernel has had nothing to do for a second."""
        status = self.page.locator(".jp-NotebookPanel-toolbar .jp-Notebook-ExecutionIndicator")
        quiet, end = 0, time.monotonic() + 120
        while quiet < 5:
            if time.monotonic() > end:
                pytest.fail("the kernel is not idle after 120 s")
            quiet = quiet + 1 if status.get_attribute("data-status") == "idle" else 0
            time.sleep(0.2)

    def menu(self, menu, item):
        self.page.locator(".lm-MenuBar-item", has_text=menu).first.click()
        self.page.locator(".lm-Menu-item").filter(has_text=item).first.click()

    def write(self, id, source):
        editor = self.cell(id).locator(".cm-content")
        editor.click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(source)

    def run(self, id):
        self.cell(id).locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        time.sleep(0.5)
        self.idle()

    def says(self, id, text):
        expect(self.cell(id).locator(".jp-OutputArea").first).to_contain_text(text, timeout=120_000)


def figures(notebook):
    for id in ["16-load-and-visualize", "16-one-response", "19-network", "25-plot-relu",
               "40-gradient-descent", "44-train", "44-test-set-decoded", "44-watch-it-learn"]:
        image = notebook.cell(id).locator(".jp-OutputArea img").first
        image.scroll_into_view_if_needed()
        assert image.evaluate("i => i.complete && i.naturalWidth > 300"), id


def lesson(page, sources, solution):
    notebook = Notebook(page, list(sources))
    page.goto(f"{URL}/lab?token={TOKEN}")
    page.locator(".jp-DirListing-item", has_text=NOTEBOOK).dblclick(timeout=60_000)
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(len(notebook.ids), timeout=60_000)
    notebook.idle()

    # All cells run before anything is changed.
    videos = []
    is_video = re.compile("youtube|bilibili").search
    page.on("request", lambda request: videos.append(request.url) if is_video(request.url) else None)
    notebook.menu("Run", "Run All Cells")
    notebook.says("44-train", "iteration 50/50")
    notebook.idle()
    notebook.says("18-borrowing-error", "borrow of moved value")
    assert videos == []
    for site in ["YouTube", "Bilibili"]:
        videos.clear()
        fold = notebook.cell("13-video-1-player").locator("summary", has_text=site)
        with page.expect_request(re.compile("/embed/|player.html")):
            fold.click()
        assert len(videos) == 1
        fold.click()
    figures(notebook)
    notebook.says("27-check-2-2", "not yet: write your own code")
    notebook.says("43-check-3-2", "not yet: write your own code")

    # The right answer in the exercise's cell gets an ok.
    notebook.write("27-exercise-2-2", solution)
    notebook.run("27-exercise-2-2")
    notebook.run("27-check-2-2")
    notebook.says("27-check-2-2", "ok: exercise 2.2")

    # A folded solution opens.
    folded = notebook.cell("29-solution-2-2")
    expect(folded.locator("pre").first).not_to_be_visible()
    folded.locator("summary").click()
    expect(folded.locator("pre").first).to_contain_text("relu")

    # Tab completes, and Shift+Tab shows documentation.
    notebook.write("18-split", sources["18-split"] + "\nresp_train.")
    page.keyboard.press("Tab")
    expect(page.locator(".jp-Completer-item", has_text="dims").first).to_be_visible(timeout=30_000)
    page.keyboard.press("Escape")
    notebook.write("18-split", sources["18-split"] + "\nresp_train")
    page.keyboard.press("Shift+Tab")
    expect(page.locator(".jp-Tooltip")).to_contain_text("Tensor", timeout=30_000)
    page.keyboard.press("Escape")
    notebook.write("18-split", sources["18-split"])

    # A long training can be interrupted.
    notebook.write("44-train", sources["44-train"].replace("50, 1e-4", "1_000_000, 1e-9"))
    notebook.cell("44-train").locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    time.sleep(5)
    notebook.menu("Kernel", "Interrupt Kernel")
    notebook.idle()
    notebook.write("44-train", sources["44-train"])

    # After a restart all cells run again.
    notebook.menu("Kernel", "Restart Kernel and Run All Cells")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    time.sleep(2)
    notebook.says("44-train", "iteration 50/50")
    notebook.idle()
    notebook.says("27-check-2-2", "ok: exercise 2.2")
    figures(notebook)


def test_the_tutorial_in_jupyterlab(tmp_path, exported):
    if not CHROMIUM:
        assert "BROWSER_TEST" not in os.environ, "there is no Chromium"
        pytest.skip("there is no Chromium")
    cells = read()
    solution = solved(exported)["27-exercise-2-2"].source
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "rust", "display_name": "Rust"}})
    nbformat.write(notebook, tmp_path / NOTEBOOK)
    lab = start_lab(tmp_path)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
            page = browser.new_page(viewport={"width": 1280, "height": 900}, device_scale_factor=2)
            try:
                lesson(page, {cell.id: cell.source for cell in cells}, solution)
            except BaseException:
                page.screenshot(path=tmp_path / "failed.png")
                print("JupyterLab:", *(tmp_path / "lab.log").read_text().splitlines()[-40:], sep="\n")
                raise
            browser.close()
    finally:
        lab.terminate()
        lab.wait(timeout=30)
