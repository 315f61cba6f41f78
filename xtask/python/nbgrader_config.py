"""Makes the learners' version: nbgrader generate_assignment W1D5_Tutorial1"""

from nbgrader.preprocessors import ClearSolutions

c = get_config()  # noqa: F821
c.ClearSolutions.code_stub = {"rust": ""}


def replace_solution_region(self, cell, language):
    """Puts the line that stands behind BEGIN SOLUTION in the region's place."""
    kept, inside, found = [], False, False
    for line in cell.source.split("\n"):
        if "// BEGIN SOLUTION: " in line:
            indent, stub = line.split("// BEGIN SOLUTION: ")
            kept.append(indent + stub)
            inside = found = True
        elif "// END SOLUTION" in line:
            inside = False
        elif not inside:
            kept.append(line)
    cell.source = "\n".join(kept)
    return found


ClearSolutions._replace_solution_region = replace_solution_region
