"""Keeps the notebooks in order and makes what is derived from them.

    lesson.py derive NOTEBOOK         rewrites exercise cells that are not what their solutions say
    lesson.py check NOTEBOOK          names everything in a notebook that would not do
    lesson.py export VARIANT FOLDER   writes a variant: student, instructor or script

A solution cell is the source of its exercise. In it,

    // BEGIN SOLUTION: <stub line>
    ...
    // END SOLUTION

stands around what learners have to find; the exercise has the stub line in its place. Which belong
together is told by the cells' names: 27-exercise-2-2 and 29-solution-2-2.
"""

import os
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"

BEGIN = re.compile(r"(\s*)// BEGIN SOLUTION: (.+)")
END = re.compile(r"\s*// END SOLUTION\s*")
NAME = re.compile(r"\d\d-(exercise|solution)-(.+)")

TAGS = {
    "catch-up", "check", "exercise", "feedback", "hint", "raises-exception", "solution",
    "teaching-notes", "try-it",
}
SLIDES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
RUST = re.compile(r"```rust\n(.*?)\n```", re.DOTALL)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
LINK = re.compile(r"(?<!\\)\[[^\[\]]*\]\(((?:[^()\s]|\([^()]*\))*)\)")
WEB = re.compile(r"https?://[\w-]+(\.[\w-]+)+(/[^\s]*)?")

# Where there are solutions, nothing waits for the learners' answers.
UNTOUCHED = "goes through to the end even with the exercises untouched"
UNSOLVED = "runs them all, but those that use the answer to an exercise stop until it is there"

# What nbgrader has to know to do as `derive` does: by itself it puts the same text everywhere.
NBGRADER_CONFIG = '''\
"""Makes the learners' version: nbgrader generate_assignment W1D5_Tutorial1"""

from nbgrader.preprocessors import ClearSolutions

c = get_config()  # noqa: F821
c.ClearSolutions.code_stub = {"rust": ""}


def replace_solution_region(self, cell, language):
    """Puts the line that stands behind BEGIN SOLUTION in the region's place."""
    kept, inside, found = [], False, False
    for line in cell.source.split("\\n"):
        if "// BEGIN SOLUTION: " in line:
            indent, stub = line.split("// BEGIN SOLUTION: ")
            kept.append(indent + stub)
            inside = found = True
        elif "// END SOLUTION" in line:
            inside = False
        elif not inside:
            kept.append(line)
    cell.source = "\\n".join(kept)
    return found


ClearSolutions._replace_solution_region = replace_solution_region
'''


def stubbed(solution):
    """The exercise that belongs to a solution."""
    kept, begun = [], False
    for line in solution.split("\n"):
        if begin := BEGIN.fullmatch(line):
            if begun:
                raise ValueError("BEGIN SOLUTION within BEGIN SOLUTION")
            kept.append(begin[1] + begin[2])
            begun = True
        elif END.fullmatch(line):
            if not begun:
                raise ValueError("END SOLUTION without BEGIN SOLUTION")
            begun = False
        elif not begun:
            kept.append(line)
    if begun:
        raise ValueError("BEGIN SOLUTION without END SOLUTION")
    return "\n".join(kept)


def pairs(notebook):
    """Exercise and solution cells, by what is common to their names."""
    found = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and (name := NAME.fullmatch(cell.get("id", ""))):
            found.setdefault(name[2], {})[name[1]] = cell
    return found


def out_of_date(notebook):
    """The exercise cells that are not what their solutions say, with what they should be."""
    for name, pair in pairs(notebook).items():
        if set(pair) != {"exercise", "solution"}:
            raise ValueError(f"{name} has no {'solution' if 'exercise' in pair else 'exercise'}")
        should_be = stubbed(pair["solution"].source)
        if pair["exercise"].source != should_be:
            yield pair["exercise"], should_be


def derive(path):
    notebook = nbformat.read(path, as_version=4)
    changed = list(out_of_date(notebook))
    for cell, source in changed:
        cell.source = source
        print(f"{path}: {cell.id} was out of date and has been rewritten: commit it")
    if changed:
        nbformat.write(notebook, path)
    return not changed


def functions_with_stub(source):
    """Parameters and body of each function that has a todo! in it."""
    starts = [found.start() for found in re.finditer(r"\bfn \w+", source)] + [len(source)]
    for start, end in zip(starts, starts[1:]):
        text = source[start:end]
        if "todo!(" in text:
            head, _, body = text.partition("{")
            yield re.findall(r"(\w+): ", head.partition("(")[2]), body


def problems(notebook):
    """All that is wrong with a notebook as it is to be committed, a line each."""
    metadata = notebook.metadata
    if metadata.get("kernelspec", {}).get("name") != "rust":
        yield "the kernelspec's name is not rust"
    headings = set()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found = HEADING.findall(cell.source)
            headings |= {re.sub(r"\s", "-", re.sub(r"[*`]", "", h)) for h in found}

    seen_structs, asked, first = {}, False, True
    for cell in notebook.cells:
        name, source = cell.get("id", "?"), cell.source
        for tag in set(cell.metadata.get("tags", [])) - TAGS:
            yield f"{name}: unknown tag {tag}"
        for key, value in cell.metadata.items():
            folded = key == "jupyter" and value == {"source_hidden": True}
            if key not in ("tags", "slideshow") and not folded:
                yield f"{name}: unknown metadata {key}"
        slide = cell.metadata.get("slideshow", {}).get("slide_type")
        if slide not in SLIDES:
            yield f"{name}: its slide type is none of {', '.join(sorted(SLIDES))}"
        if ("teaching-notes" in cell.metadata.get("tags", [])) != (slide == "notes"):
            yield f"{name}: teaching notes are the notes of a slide, and nothing else is"
        if "try-it" in cell.metadata.get("tags", []) and len(RUST.findall(source)) != 1:
            yield f"{name}: a suggestion to try has one block of Rust"

        if cell.cell_type == "markdown":
            if source.count("<details>") != source.count("</details>"):
                yield f"{name}: a <details> is not closed, or closed twice"
            for link in LINK.findall(source):
                if link.startswith("#"):
                    if link[1:] not in headings:
                        yield f"{name}: no heading for the link {link}"
                elif not WEB.fullmatch(link) and not (NOTEBOOKS / link).exists():
                    yield f"{name}: the link {link} leads nowhere"
            if re.search(r"\b(In|Out) ?\[\d+\]", source):
                yield f"{name}: counts of executions begin with 2 here: name the cell by what it does"
            continue

        if cell.outputs:
            yield f"{name}: has outputs"
        if cell.execution_count is not None:
            yield f"{name}: has an execution count"
        code = re.sub(r"//[^\n]*", "", source)
        lines = [line for line in code.split("\n") if line.strip()]
        tags = cell.metadata.get("tags", [])

        commands = [i for i, line in enumerate(lines) if line.startswith(":")]
        if any(lines[i].startswith(":dep") for i in commands) and not first:
            yield f"{name}: :dep after the first code cell drops values that are alive"
        if commands and commands != list(range(len(commands))):
            yield f"{name}: commands come before code"
        for i in commands:
            if re.match(r":(restart|clear)\b", lines[i]):
                yield f"{name}: {lines[i]} breaks the next cell: use the menu's restart"
        first = False

        structs = dict(re.findall(r"\bstruct (\w+) \{(.*?)\n\}", code, re.DOTALL))
        for struct, fields in structs.items():
            fields = re.sub(r"\s+", " ", fields)
            if seen_structs.setdefault(struct, fields) != fields:
                yield f"{name}: struct {struct} has other fields than before: bodies may change, types not"
        for struct in re.findall(r"^impl(?:<[^>]*>)? (?:\w+ for )?(\w+)", code, re.MULTILINE):
            if struct not in structs:
                yield f"{name}: impl of {struct} outside the cell that defines it cannot be run twice"
        if "raises-exception" in tags and re.search(r"^let ", code, re.MULTILINE):
            yield f"{name}: what a cell declares that stops is lost: declare it in another"
        for variable, value in re.findall(r"^let (?:mut )?(\w+)[^=\n]*= *(\||move \||&)", code, re.MULTILINE):
            kind = "borrows" if value == "&" else "is a closure"
            yield f"{name}: {variable} {kind}, which the kernel cannot keep"
        if re.search(r"\be?print!\(", code):
            yield f"{name}: print! without a newline can hang the kernel: use println!"
        if len(re.findall(r"^plot_\w+\(", code, re.MULTILINE)) > 1:
            yield f"{name}: only the last figure of a cell is shown: one figure a cell"
        last = lines[-1].rstrip() if lines else ""
        opened = [line for line in lines if line[0] not in " \t})"]
        if last == "}" and re.match(r"(for|while|loop|if)\b", opened[-1]):
            yield f"{name}: ends with a loop or an if, so () is shown below it: end with a statement"
        if not asked and last.endswith("?"):
            yield f"{name}: the first ? of a session is not the end of a cell: setup()?; comes first"
        asked = asked or "?;" in code
        if "?" in code and not seen_setup(notebook, cell):
            yield f"{name}: errors are long before setup()? has run"
        if "exercise" in tags and "todo!(" not in code:
            yield f"{name}: an exercise without a todo!"
        if "exercise" not in tags and "todo!(" in code and "solution" not in tags:
            yield f"{name}: a todo! outside an exercise"
        for parameters, body in functions_with_stub(code):
            for parameter in parameters:
                if not re.search(rf"\b{parameter}\b", body):
                    yield f"{name}: name {parameter} in the todo!, or every later error comes with a warning on it"
    try:
        for cell, _ in out_of_date(notebook):
            yield f"{cell.id}: differs from its solution: run `lesson.py derive`"
    except ValueError as why:
        yield str(why)


def seen_setup(notebook, cell):
    """Whether setup()? runs in this cell or before it."""
    code = [c for c in notebook.cells if c.cell_type == "code"]
    return any("setup()?" in c.source for c in code[: code.index(cell) + 1])


def check(path):
    found = list(problems(nbformat.read(path, as_version=4)))
    for problem in found:
        print(f"{path}: {problem}")
    return not found


def instructor(notebook):
    """Solutions in their exercises' places, teaching notes open, and what nbgrader wants to know."""
    solutions = {name: pair["solution"] for name, pair in pairs(notebook).items()}
    kept = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and "exercise" in tags:
            name = NAME.fullmatch(cell.id)[2]
            cell.source = solutions[name].source
            cell.metadata["nbgrader"] = {
                "cell_type": "code",
                "grade": False,
                "grade_id": f"exercise-{name}",
                "locked": False,
                "schema_version": 3,
                "solution": True,
                "task": False,
            }
        elif "solution" in tags:
            continue
        elif "teaching-notes" in tags:
            cell.source = cell.source.replace("<details>", "<details open>")
        cell.source = cell.source.replace(UNTOUCHED, UNSOLVED)
        kept.append(cell)
    notebook.cells = kept
    return notebook


def student(notebook):
    """The instructors' version with stubs for solutions and without teaching notes."""
    notebook = instructor(notebook)
    notebook.cells = [
        cell for cell in notebook.cells if "teaching-notes" not in cell.metadata.get("tags", [])
    ]
    for cell in notebook.cells:
        if cell.metadata.pop("nbgrader", None):
            cell.source = stubbed(cell.source)
    return notebook


def script(notebook):
    """One file of Rust to read: the text as comments, the code as the solutions have it."""
    parts = []
    for cell in instructor(notebook).cells:
        if cell.cell_type == "markdown":
            parts.append("\n".join(f"// {line}".rstrip() for line in cell.source.split("\n")))
        elif cell.cell_type == "code":
            lines = cell.source.split("\n")
            lines = [line for line in lines if not BEGIN.fullmatch(line) and not END.fullmatch(line)]
            parts.append("\n".join(re.sub(r"^:", "// :", line) for line in lines))
    return "\n\n".join(parts) + "\n"


def export(variant, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        target = folder / path.name
        if variant == "instructor":
            target = folder / "source" / path.stem / path.name
            (folder / "nbgrader_config.py").write_text(NBGRADER_CONFIG, encoding="utf-8")
        target.parent.mkdir(parents=True, exist_ok=True)
        helpers = Path(os.path.relpath(ROOT / "helpers", target.parent.resolve())).as_posix()
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.source = cell.source.replace('path = "../helpers"', f'path = "{helpers}"')
        if variant == "script":
            target = target.with_suffix(".rs")
            target.write_text(script(notebook), encoding="utf-8")
        else:
            made = {"student": student, "instructor": instructor}[variant](notebook)
            nbformat.write(made, target)
        print(f"written: {target}")
    return True


def main(arguments):
    match arguments:
        case ["derive", path]:
            return derive(Path(path))
        case ["check", path]:
            return check(Path(path))
        case ["export", "student" | "instructor" | "script" as variant, folder]:
            return export(variant, Path(folder))
        case ["export", *rest]:
            print(f"export: expected student, instructor or script and a folder, got {' '.join(rest)}")
            return False
        case _:
            print(__doc__)
            return False


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
