"""Makes talks of the notebooks, to be shown in a browser without a network.

    slides.py PARTS FOLDER

PARTS is a Python that has reveal.js, which shows slides, and MathJax, which sets equations, among
its packages. Each notebook is run, and becomes a page with the figures and numbers of that run:
arrows go on, S opens the teaching notes in a window of their own.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbconvert import SlidesExporter

from run_notebook import run

ROOT = Path(__file__).resolve().parent.parent

# nbconvert's own page for slides fetches four scripts from elsewhere; this one needs two, of its own
# folder. What is higher than a slide can be scrolled.
PAGE = """
{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}
<script type="text/x-mathjax-config">
MathJax.Hub.Config({"HTML-CSS": {
  availableFonts: [], preferredFont: null, imageFont: null, webFont: "STIX-Web",
}});
</script>
{%- endblock -%}
{%- block html_head_css -%}
<style>
.reveal .slides section:not(.stack) { max-height: 100%; overflow-y: auto; }
.reveal .jp-InputPrompt, .reveal .jp-OutputPrompt { display: none; }
.reveal .slides { text-align: left; }
.reveal h1, .reveal h2, .reveal h3 { text-transform: none !important; }
.reveal img { margin: 0; width: auto; max-height: 400px; }
</style>
{%- endblock -%}
{%- block footer_js -%}
<script src="parts/reveal/dist/reveal.js"></script>
<script src="parts/reveal/plugin/notes/notes.js"></script>
<script>
Reveal.initialize({
  width: 1100, height: 760, margin: 0.04, center: false, hash: true, slideNumber: true,
  transition: "none", plugins: [RevealNotes],
});
// Equations have no size before their slide is seen.
Reveal.on("slidechanged", event =>
  MathJax.Hub.Queue(["Rerender", MathJax.Hub, event.currentSlide]));
</script>
{%- endblock -%}
"""


def copy_parts(python, folder):
    """Puts reveal.js and MathJax where the pages look for them."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
    packages = Path(packages.stdout.strip())
    for source, name in [
        ("sphinx_revealjs/_static/revealjs", "reveal"),
        ("jupyter_server_mathjax/static", "mathjax"),
    ]:
        shutil.copytree(packages / source, folder / "parts" / name, dirs_exist_ok=True)


def page(notebook):
    exporter = SlidesExporter(
        template_name="reveal",
        extra_loaders=[DictLoader({"slides.html.j2": PAGE})],
        template_file="slides.html.j2",
        reveal_url_prefix="parts/reveal",
        reveal_theme="white",
        mathjax_url="parts/mathjax/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full",
    )
    return exporter.from_notebook_node(notebook)[0]


def main(python, folder):
    folder = Path(folder)
    copy_parts(python, folder)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        executed = ROOT / "target/run" / path.name
        if not run(path, executed):
            return False
        notebook = nbformat.read(executed, as_version=4)
        for cell in notebook.cells:
            # Folded on a slide as in JupyterLab: the talk shows it when it is wanted.
            if cell.metadata.get("jupyter", {}).get("source_hidden"):
                code = cell.source.replace("&", "&amp;").replace("<", "&lt;")
                cell.cell_type = "markdown"
                cell.source = f"<details><summary>The solution</summary><pre>{code}</pre></details>"
        target = folder / path.with_suffix(".html").name
        target.write_text(page(notebook), encoding="utf-8")
        print(f"written: {target}")
    return True


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
