"""Shows exported slides in a browser without a window and without a network.

    slides.py CHROMIUM FOLDER

Screenshots go to FOLDER.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

# Whether the slide has equations that are not folded away.
HAS_EQUATIONS = """slide => [...slide.querySelectorAll("script[type^='math/tex']")]
  .some(script => !script.closest("details"))"""

def main(chromium, folder):
    pages = sorted(Path(folder).glob("*.html"))
    assert pages, f"no slides in {folder}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(viewport={"width": 1280, "height": 860}, offline=True)
        for path in pages:
            page = context.new_page()
            wanted, errors = [], []
            page.on("request", lambda request: wanted.append(request.url))
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(path.as_uri())
            page.wait_for_function("window.Reveal && Reveal.isReady()")
            elsewhere = [url for url in wanted if url.startswith(("http:", "https:"))]
            assert not elsewhere, f"{path.name} wants {elsewhere}"
            n_slides = page.evaluate("Reveal.getTotalSlides()")
            assert n_slides > 10, f"{path.name}: {n_slides} slides"
            equations = figures = 0
            for number in range(n_slides):
                page.wait_for_timeout(50)
                slide = page.locator("section.present:not(.stack)")
                if slide.evaluate(HAS_EQUATIONS):
                    slide.locator(".MathJax:visible").first.wait_for(timeout=20_000)
                    equations += 1
                for image in slide.locator("img").all():
                    assert image.evaluate("i => i.complete && i.naturalWidth > 300")
                    figures += 1
                if number in (0, n_slides // 2):
                    page.screenshot(path=Path(folder) / f"{path.stem}-{number}.png")
                page.keyboard.press("Space")
            assert equations >= 3 and figures >= 3, f"{equations} equations, {figures} figures"
            notes = page.locator("aside.notes").count()
            assert notes >= 3, f"{notes} notes"
            assert not errors, errors
            print(f"{path.name}: {n_slides} slides, {equations} with equations, {figures} figures, {notes} notes")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
