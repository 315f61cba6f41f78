//! The notebooks as files: exercises that are derived from their solutions, and variants for a class.
//!
//! A solution cell is the source of its exercise. In it,
//!
//! ```text
//! // BEGIN SOLUTION: <stub line>
//! ...
//! // END SOLUTION
//! ```
//!
//! stand around what learners have to find; the exercise has the stub line in its place. The names
//! of cells tell which belong together: `27-exercise-2-2` and `29-solution-2-2`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Value, json};

use crate::root;

const BEGIN: &str = "// BEGIN SOLUTION: ";
const END: &str = "// END SOLUTION";

/// Where there are solutions, nothing waits for the learners' answers.
const UNTOUCHED: &str = "goes through to the end even with the exercises untouched";
const UNSOLVED: &str =
    "runs them all, but those that use the answer to an exercise stop until it is there";

const NBGRADER_CONFIG: &str = include_str!("../python/nbgrader_config.py");

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Variant {
    /// Without solutions and teaching notes
    Student,
    /// Solutions in their exercises' places, for nbgrader
    Instructor,
    /// One Rust file to read
    Script,
}

/// A notebook's JSON, with what its cells are asked for.
#[derive(Clone, PartialEq)]
pub struct Notebook(Value);

impl Notebook {
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let json = serde_json::from_str(&text);
        Ok(Self(json.with_context(|| format!("{} is no notebook", path.display()))?))
    }

    /// As Jupyter writes it.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = Vec::new();
        let pretty = PrettyFormatter::with_indent(b" ");
        self.0.serialize(&mut Serializer::with_formatter(&mut text, pretty))?;
        text.push(b'\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn cells(&mut self) -> &mut Vec<Value> {
        self.0["cells"].as_array_mut().expect("a notebook has cells")
    }

    /// The source of the solution, for the code cell of an exercise.
    fn solution_of(&self, cell: &Value) -> Option<Result<String>> {
        let name = code_after(cell, "-exercise-")?;
        let mut cells = self.0["cells"].as_array()?.iter();
        let solution = cells.find(|cell| code_after(cell, "-solution-") == Some(name));
        Some(solution.map(source).with_context(|| format!("exercise {name} has no solution")))
    }

    /// Puts solutions in their exercises' places, opens teaching notes, and adds what nbgrader reads.
    fn instructor(mut self) -> Result<Self> {
        let solutions = self.clone();
        self.cells().retain(|cell| !has_tag(cell, "solution"));
        for cell in self.cells() {
            if let Some(solution) = solutions.solution_of(cell) {
                set_source(cell, &solution?);
                let id = cell["id"].as_str().unwrap_or_default();
                let grade_id = id.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
                cell["metadata"]["nbgrader"] = json!({
                    "cell_type": "code", "grade": false, "grade_id": grade_id, "locked": false,
                    "schema_version": 3, "solution": true, "task": false,
                });
            }
            let mut text = source(cell).replace(UNTOUCHED, UNSOLVED);
            if has_tag(cell, "teaching-notes") {
                text = text.replace("<details>", "<details open>");
            }
            set_source(cell, &text);
        }
        Ok(self)
    }

    /// The instructors' version with stubs for solutions and without teaching notes.
    fn student(self) -> Result<Self> {
        let mut notebook = self.instructor()?;
        notebook.cells().retain(|cell| !has_tag(cell, "teaching-notes"));
        for cell in notebook.cells() {
            let metadata = cell["metadata"].as_object_mut().context("a cell has metadata")?;
            if metadata.shift_remove("nbgrader").is_some() {
                let exercise = stubbed(&source(cell))?;
                set_source(cell, &exercise);
            }
        }
        Ok(notebook)
    }

    /// One file of Rust to read: the text as comments, the code as the solutions have it.
    fn script(self) -> Result<String> {
        let mut notebook = self.instructor()?;
        let parts: Vec<String> = notebook.cells().iter().map(as_rust).collect();
        Ok(parts.join("\n\n") + "\n")
    }
}

/// What stands after `mark` in the name of a code cell.
fn code_after<'a>(cell: &'a Value, mark: &str) -> Option<&'a str> {
    let (_, name) = cell["id"].as_str()?.split_once(mark)?;
    (cell["cell_type"] == "code").then_some(name)
}

fn as_rust(cell: &Value) -> String {
    let is_code = cell["cell_type"] == "code";
    let is_mark = |line: &&str| is_code && (line.contains(BEGIN) || line.contains(END));
    let rust = |line: &str| {
        if is_code && !line.starts_with(':') {
            line.to_owned()
        } else {
            format!("// {line}").trim_end().to_owned()
        }
    };
    let text = source(cell);
    let lines: Vec<String> = text.lines().filter(|line| !is_mark(line)).map(rust).collect();
    lines.join("\n")
}

/// The exercise that belongs to a solution.
fn stubbed(solution: &str) -> Result<String> {
    let (mut kept, mut inside) = (Vec::new(), false);
    for line in solution.split('\n') {
        if let Some((indent, stub)) = line.split_once(BEGIN) {
            if inside {
                bail!("BEGIN SOLUTION within BEGIN SOLUTION: end the first");
            }
            kept.push(format!("{indent}{stub}"));
            inside = true;
        } else if line.trim() == END {
            if !inside {
                bail!("END SOLUTION without BEGIN SOLUTION: begin it");
            }
            inside = false;
        } else if !inside {
            kept.push(line.to_owned());
        }
    }
    if inside {
        bail!("BEGIN SOLUTION without END SOLUTION: end it");
    }
    Ok(kept.join("\n"))
}

fn has_tag(cell: &Value, tag: &str) -> bool {
    let tags = cell["metadata"]["tags"].as_array();
    tags.is_some_and(|tags| tags.iter().any(|other| other == tag))
}

/// A cell's text, which a file holds as a list of lines or as one text.
fn source(cell: &Value) -> String {
    match &cell["source"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    }
}

fn set_source(cell: &mut Value, text: &str) {
    cell["source"] = text.split_inclusive('\n').collect();
}

/// The notebooks of the lesson.
pub fn notebooks() -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(root().join("notebooks"))?;
    let mut files: Vec<PathBuf> = files.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "ipynb"));
    files.sort();
    Ok(files)
}

/// Writes a variant of each notebook to a folder. Never overwrites a file.
pub fn export(variant: Variant, folder: &Path) -> Result<()> {
    let folder = std::path::absolute(folder)?;
    if variant == Variant::Instructor {
        write_new(&folder.join("nbgrader_config.py"), |path| {
            Ok(fs::write(path, NBGRADER_CONFIG)?)
        })?;
    }
    for path in notebooks()? {
        let name = path.with_extension("");
        let name = name.file_name().context("a notebook has a name")?;
        let target = match variant {
            Variant::Student => folder.join(name).with_extension("ipynb"),
            Variant::Instructor => {
                folder.join("source").join(name).join(name).with_extension("ipynb")
            }
            Variant::Script => folder.join(name).with_extension("rs"),
        };
        let mut notebook = Notebook::read(&path)?;
        let helpers = root().join("helpers");
        for cell in notebook.cells() {
            let text =
                source(cell).replace("path = \"../helpers\"", &format!("path = {helpers:?}"));
            set_source(cell, &text);
        }
        write_new(&target, |path| match variant {
            Variant::Student => notebook.student()?.write(path),
            Variant::Instructor => notebook.instructor()?.write(path),
            Variant::Script => Ok(fs::write(path, notebook.script()?)?),
        })?;
        println!("written: {}", target.display());
    }
    Ok(())
}

fn write_new(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if path.exists() {
        bail!("export: {} exists: name another folder, or delete it first", path.display());
    }
    fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
    write(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Notebook {
        /// Rewrites exercises that are not what their solutions say. Returns the names of their cells.
        fn derive_exercises(&mut self) -> Result<Vec<String>> {
            let solutions = self.clone();
            let mut rewritten = Vec::new();
            for cell in self.cells() {
                let Some(solution) = solutions.solution_of(cell) else {
                    continue;
                };
                let exercise = stubbed(&solution?)?;
                if source(cell) != exercise {
                    set_source(cell, &exercise);
                    rewritten.push(cell["id"].as_str().unwrap_or_default().to_owned());
                }
            }
            Ok(rewritten)
        }
    }

    /// Rewrites what is out of date and fails once.
    #[test]
    fn exercises_are_what_their_solutions_say() {
        for path in notebooks().unwrap() {
            let mut notebook = Notebook::read(&path).unwrap();
            let rewritten = notebook.derive_exercises().unwrap();
            if !rewritten.is_empty() {
                notebook.write(&path).unwrap();
                panic!("{}: rewrote {rewritten:?}: commit the file", path.display());
            }
        }
    }

    #[test]
    fn a_notebook_is_written_as_it_was_read() {
        let dir = tempfile::tempdir().unwrap();
        for path in notebooks().unwrap() {
            let copy = dir.path().join("copy.ipynb");
            Notebook::read(&path).unwrap().write(&copy).unwrap();
            assert!(fs::read(&copy).unwrap() == fs::read(&path).unwrap(), "{}", path.display());
        }
    }

    #[test]
    fn an_exercise_has_the_stub_in_place_of_the_solution() {
        let solution = "a\n  // BEGIN SOLUTION: todo!()\n  b\n  // END SOLUTION\nc";
        let cells = json!([
            {"cell_type": "markdown", "id": "1-exercise-x", "source": "text"},
            {"cell_type": "code", "id": "2-exercise-x", "source": "old"},
            {"cell_type": "markdown", "id": "3-the-solution-x", "source": "text"},
            {"cell_type": "code", "id": "4-solution-x", "source": solution},
        ]);
        let mut notebook = Notebook(json!({"cells": cells}));
        assert_eq!(notebook.derive_exercises().unwrap(), ["2-exercise-x"]);
        assert_eq!(source(&notebook.cells()[0]), "text");
        assert_eq!(source(&notebook.cells()[1]), "a\n  todo!()\nc");
        assert!(notebook.derive_exercises().unwrap().is_empty());
        for unbalanced in [
            "// BEGIN SOLUTION: x",
            "// END SOLUTION",
            "// BEGIN SOLUTION: x\n// BEGIN SOLUTION: y",
        ] {
            assert!(stubbed(unbalanced).is_err(), "{unbalanced}");
        }
    }

    #[test]
    fn export_never_overwrites() {
        let notebooks = root().join("notebooks");
        let err = export(Variant::Student, &notebooks).unwrap_err().to_string();
        assert!(err.contains("exists: name another folder"), "{err}");
    }
}
