"""The notebooks on the real kernel: numbers, figures, exercises, and what they suggest to try."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import by_id, kernels, run, run_all, solved
from nbformat.v4 import new_code_cell
from nbgrader.api import Gradebook
from run_notebook import compare_with_published
from session import NOTEBOOKS, PREPARED, ROOT, Session, code_cells, read


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """For all notebooks, so that the recording is simulated once."""
    return tmp_path_factory.mktemp("notebooks")


def announced(cells, printed):
    """The blocks of numbers in a notebook's text for the data that were used."""
    kind = "simulated" if "the data are simulated" in printed else "text"
    blocks = [re.findall(rf"```{kind}\n(.*?)```", c.source, re.S) for c in cells if c.cell_type == "markdown"]
    return sum(blocks, [])


def is_printed(line, printed):
    """Whether a line begins with these words. Numbers may differ by 1e-5, since processors do."""

    def same(a, b):
        try:
            return abs(float(a) - float(b)) <= 1e-5 * abs(float(b))
        except ValueError:
            return a == b

    words = line.split()
    lines = [got.split() for got in printed.splitlines()]
    return any(len(got) >= len(words) and all(map(same, got, words)) for got in lines)


def assert_prints_what_its_text_says(cells, printed):
    blocks = announced(cells, printed)
    assert len(blocks) >= 2
    missing = [line for block in blocks for line in block.splitlines() if not is_printed(line, printed)]
    assert missing == []


def figures(cells):
    """How many figures there are. Each must have a text for readers who cannot see it."""
    outputs = [o for c in code_cells(cells) for o in c.outputs if "image/png" in o.get("data", {})]
    for output in outputs:
        assert len(re.search("alt='([^']*)'", output.data["text/html"])[1]) > 30
    return len(outputs)


def test_the_tutorial_runs_and_prints_what_its_text_says(folder):
    cells, before = read(), kernels()
    with Session(folder) as session:
        printed = "".join(run(session, cell) for cell in code_cells(cells))
        (own,) = kernels() - before
        own, prepared = (f / "build/target/known" for f in (own, PREPARED / "prepared"))
        assert {f.name for f in own.iterdir()} == {f.name for f in prepared.iterdir()}, "a cell was compiled"
    assert_prints_what_its_text_says(cells, printed)
    assert figures(cells) >= 5  # a slow training shows its progress as one more


def with_suggestions(cells):
    """The notebook with the code of each suggestion to try in a cell of its own."""
    for cell in cells:
        if "try-it" in cell.metadata.get("tags", []):
            (code,) = re.findall(r"```rust\n(.*?)\n```", cell.source, re.S)
            yield new_code_cell(code, id=cell.id)
        else:
            yield cell


def test_the_bonus_runs_with_its_suggestions_and_prints_what_its_text_says(folder):
    cells = list(with_suggestions(read("W1D5_Tutorial1_Bonus")))
    printed = run_all(cells, folder)
    assert_prints_what_its_text_says(cells, printed)
    assert figures(cells) >= 11
    assert "population vector" in str(by_id(cells)["71-compare"].outputs)


def test_every_cell_of_the_tutorial_may_be_run_twice_and_every_suggestion_works(folder):
    cells = code_cells(with_suggestions(read()))
    printed = run_all([again for cell in cells for again in (cell, cell.copy())], folder)
    assert "loss: NaN" in printed, "a suggestion has a rate that is too large"


ANSWERS = {  # a wrong answer to each exercise of the tutorial, and what its verdict says
    "2-2": (("?.relu()?;", "?;"), "no unit is rectified"),
    "3-2": (("optimizer.step(&gradients)?;", 'panic!("{}", gradients.get_ids().count());'), "your code panicked: "),
}


@pytest.mark.parametrize("name, first", [("W1D5_Tutorial1", "18-split"), ("W1D5_Tutorial1_Bonus", "03-imports")])
def test_verdicts_in_the_kernel(folder, exported, name, first):
    """Each exercise untouched, answered wrong where a wrong answer is known, and solved."""
    cells = by_id(code_cells(read(name)))
    solutions = solved(exported, name)
    with Session(folder) as session:
        for cell in cells.values():
            if cell.id <= first:
                run(session, cell)
        for exercise in [cell for cell in cells.values() if "exercise" in cell.metadata.get("tags", [])]:
            task = exercise.id.split("-exercise-")[1]
            solution = solutions[exercise.id]
            (check,) = [cell for id, cell in cells.items() if id.endswith(f"-check-{task}")]

            def verdict(answer):
                run(session, answer)
                return session.run(check.copy()).outputs[0].data["text/plain"]

            assert verdict(exercise.source).startswith("not yet: ")
            if task in ANSWERS:
                change, hint = ANSWERS[task]
                assert change[0] in solution.source
                assert hint in verdict(solution.source.replace(*change))
            assert verdict(solution.source).startswith("ok: ")
        # Nothing was lost by any of them.
        assert run(session, 'println!("still here");') == "still here\n"


def test_section_3_alone_on_a_fresh_kernel(folder):
    cells = [cell for cell in read() if cell.id >= "31"]
    catch_up = by_id(cells)["31-catch-up"]
    catch_up.source = re.sub("(?m)^// ?", "", catch_up.source.split("\n\n", 1)[1])
    printed = run_all(cells, folder)
    block = next(block for block in announced(read(), printed) if "iteration 50/50" in block)
    assert is_printed(block.splitlines()[-1], printed)


def test_every_cell_of_the_original_has_its_counterpart_in_order():
    numbers = [int(cell.id[:2]) for cell in read()]
    assert numbers == sorted(numbers)
    assert set(range(53)) <= set(numbers)


def test_a_run_on_the_recording_is_compared_with_the_published_numbers():
    """With made-up lines, since tests cannot download the recording."""
    printed = (
        "the data are recorded\ndecoded orientation: 0.17 degrees\ntrue orientation: 139.00 degrees\n"
        "mean squared error: 42949.15\niteration 10/50 | loss: 12219.761\n"
        "iteration 20/50 | loss: 1672.735\niteration 30/50 | loss: 548.096\niteration 40/50 | loss: 235.619\n"
    )
    verdicts = [line.rsplit(": ", 1)[1] for line in compare_with_published(printed)]
    assert verdicts == [
        "matches", "matches", "DIFFERS, got 42949.15", "matches", "DIFFERS, got 1672.735", "matches",
        "matches", "nothing was printed",
    ]
    assert compare_with_published("the data are simulated, seed 1\n") == []


def test_the_readme_has_the_losses_of_the_tutorial():
    readme = (ROOT / "README.md").read_text()
    blocks = announced(read(), "the data are simulated")
    losses = re.findall(r"\| loss: ([\d.]+)", "".join(blocks))
    assert len(losses) == 5 and all(loss in readme for loss in losses)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_committed_clean(path):
    cells = read(path.stem)
    headings = re.findall(r"(?m)^#+ +(.+?) *$", "\n".join(c.source for c in cells if c.cell_type == "markdown"))
    anchors = {re.sub(r"\s", "-", re.sub("[*`]", "", heading)) for heading in headings}
    for cell in cells:
        tags, slide = cell.metadata.get("tags", []), cell.metadata["slideshow"]["slide_type"]
        assert slide in {"slide", "subslide", "fragment", "skip", "notes", "-"}, cell.id
        assert ("teaching-notes" in tags) == (slide == "notes"), cell.id
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, cell.id
            assert ("exercise" in tags) == ("unsolved::" in cell.source), cell.id
            continue
        assert cell.source.count("<details>") == cell.source.count("</details>"), cell.id
        for link in re.findall(r"(?<!\\)\[[^\[\]]*\]\(((?:[^()\s]|\([^()]*\))*)\)", cell.source):
            is_there = link[1:] in anchors if link.startswith("#") else (NOTEBOOKS / link).exists()
            assert is_there or re.fullmatch(r"https?://[\w-]+(\.[\w-]+)+(/\S*)?", link), f"{cell.id}: {link}"


def test_nbgrader_makes_the_students_version_and_grades_it(exported, tmp_path):
    """Points for a solved, an untouched and a wrong answer to each exercise of the tutorial."""
    name = "W1D5_Tutorial1"
    course = tmp_path / "course"
    shutil.copytree(exported / "instructor", course)

    def nbgrader(*command):
        # It looks for programs of its own on the path.
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        nbgrader = [sys.executable, "-m", "nbgrader", *command]
        subprocess.run(nbgrader, cwd=course, env={**os.environ, "PATH": path}, check=True)

    def sources(path):
        cells = nbformat.read(path, as_version=4).cells
        return [cell.source for cell in cells if "For teachers" not in cell.source]

    nbgrader("generate_assignment", name, "--create")
    release = course / f"release/{name}/{name}.ipynb"
    student = sources(exported / f"student/{name}.ipynb")
    assert sources(release) == student
    text = "\n".join(student)
    assert "unsolved::step(" in text and "SOLUTION" not in text and ".relu()?; // (n_stimuli" not in text

    solutions = solved(exported)
    for person in ["ada", "bob", "eve"]:
        notebook = nbformat.read(release, as_version=4)
        exercises = [cell for cell in notebook.cells if "exercise" in cell.metadata.get("tags", [])]
        for cell in exercises:
            if person != "bob":
                cell.source = solutions[cell.id].source
            if person == "eve":
                change, _ = ANSWERS[cell.id.split("-exercise-")[1]]
                cell.source = cell.source.replace(*change)
        submitted = course / f"submitted/{person}/{name}"
        submitted.mkdir(parents=True)
        nbformat.write(notebook, submitted / f"{name}.ipynb")
    nbgrader("autograde", name)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        scores = {s.student.id: (s.score, s.max_score) for s in gradebook.assignment_submissions(name)}
    assert scores == {"ada": (2, 2), "bob": (0, 2), "eve": (0, 2)}


def test_script_has_the_solutions(exported):
    script = (exported / "script/W1D5_Tutorial1.rs").read_text()
    assert "self.in_layer.forward(r)?.relu()?;" in script
    assert "unsolved::" not in script and "SOLUTION" not in script
