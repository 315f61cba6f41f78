//! The notebooks as files, and their variants for a class.
//!
//! In an exercise, lines that call a function of `helpers::unsolved` stand for the learner's answer.
//! The folded text with the solution has one block of code for each of these lines. The cells' names
//! show which belong together: `27-exercise-2-2` and `29-solution-2-2`.
//!
//! A block of code in a text that begins with `// helpers/src/net.rs: forward` is that function, cut
//! from that file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Value, json};

use crate::{files, prepared, store};

const NBGRADER_CONFIG: &str = include_str!("../python/nbgrader_config.py");

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Variant {
    /// Without solutions and teaching notes
    Student,
    /// With the exercises solved, for nbgrader
    Instructor,
    /// One Rust file to read
    Script,
}

#[derive(Clone, PartialEq)]
pub struct Notebook(Value);

impl Notebook {
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let json = serde_json::from_str(&text);
        Ok(Self(json.with_context(|| format!("{name} is not a notebook"))?))
    }

    /// The text of its file, as Jupyter writes it.
    fn text(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let pretty = PrettyFormatter::with_indent(b" ");
        self.0.serialize(&mut Serializer::with_formatter(&mut text, pretty))?;
        text.push(b'\n');
        Ok(text)
    }

    fn cells(&mut self) -> &mut Vec<Value> {
        self.0["cells"].as_array_mut().expect("a notebook has cells")
    }

    /// Puts the solutions into the exercises' cells and leaves out the folded texts.
    ///
    /// With `for_nbgrader`, puts marks around the solutions, and nbgrader's metadata into the cells of
    /// exercises and checks, and opens the teaching notes.
    fn solved(mut self, for_nbgrader: bool) -> Result<Self> {
        let originals = self.clone();
        for cell in self.cells() {
            let (is_exercise, is_check) = (has_tag(cell, "exercise"), has_tag(cell, "check"));
            if is_exercise {
                let blocks = originals.solution_of(cell)?;
                set_source(cell, &answered(&source(cell), &blocks, for_nbgrader)?);
            }
            if for_nbgrader && (is_exercise || is_check) {
                let name = id(cell).trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
                cell["metadata"]["nbgrader"] = json!({
                    "cell_type": "code", "grade": is_check, "grade_id": name, "locked": is_check,
                    "schema_version": 3, "solution": !is_check, "task": false,
                });
                if is_check {
                    cell["metadata"]["nbgrader"]["points"] = json!(1);
                }
            }
            if for_nbgrader && has_tag(cell, "teaching-notes") {
                set_source(cell, &source(cell).replace("<details>", "<details open>"));
            }
        }
        self.cells().retain(|cell| !has_tag(cell, "solution"));
        Ok(self)
    }

    /// The blocks of code in the solution of an exercise.
    fn solution_of(&self, exercise: &Value) -> Result<Vec<String>> {
        let split = id(exercise).split_once("-exercise-");
        let (_, name) = split.context("an exercise is named -exercise-")?;
        let suffix = format!("-solution-{name}");
        let mut cells = self.0["cells"].as_array().context("a notebook has cells")?.iter();
        let solution = cells.find(|cell| id(cell).ends_with(&suffix));
        let text = source(solution.with_context(|| format!("exercise {name} has no solution"))?);
        let blocks = text.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
        Ok(blocks.map(str::to_owned).collect())
    }

    fn student(mut self) -> Self {
        self.cells().retain(|cell| !has_tag(cell, "solution") && !has_tag(cell, "teaching-notes"));
        self
    }

    /// One file of Rust to read: the text as comments, the code as the solutions have it.
    fn script(self) -> Result<String> {
        let mut notebook = self.solved(false)?;
        let parts: Vec<String> = notebook.cells().iter().map(as_rust).collect();
        Ok(parts.join("\n\n") + "\n")
    }
}

/// An exercise's code, with each line that calls `unsolved` replaced by a block of the solution.
fn answered(exercise: &str, blocks: &[String], with_marks: bool) -> Result<String> {
    let mut blocks = blocks.iter();
    let mut lines = Vec::new();
    for line in exercise.lines() {
        if !line.contains("unsolved::") {
            lines.push(line.to_owned());
            continue;
        }
        let block = blocks.next().with_context(|| format!("no solution for `{}`", line.trim()))?;
        let indent = &line[..line.len() - line.trim_start().len()];
        if with_marks {
            lines.push(format!("{indent}// BEGIN SOLUTION: {}", line.trim_start()));
        }
        lines.extend(block.lines().map(|line| format!("{indent}{line}")));
        if with_marks {
            lines.push(format!("{indent}// END SOLUTION"));
        }
    }
    if let Some(block) = blocks.next() {
        bail!("no line calls unsolved for the solution `{}`", block.trim())
    }
    Ok(lines.join("\n"))
}

fn as_rust(cell: &Value) -> String {
    let is_code = cell["cell_type"] == "code";
    let rust = |line: &str| {
        if is_code && !line.starts_with(':') {
            line.to_owned()
        } else {
            format!("// {line}").trim_end().to_owned()
        }
    };
    let lines: Vec<String> = source(cell).lines().map(rust).collect();
    lines.join("\n")
}

fn id(cell: &Value) -> &str {
    cell["id"].as_str().unwrap_or_default()
}

fn has_tag(cell: &Value, tag: &str) -> bool {
    let tags = cell["metadata"]["tags"].as_array();
    tags.is_some_and(|tags| tags.iter().any(|other| other == tag))
}

/// A cell's text. A file has it as a list of lines or as one text.
fn source(cell: &Value) -> String {
    match &cell["source"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    }
}

fn set_source(cell: &mut Value, text: &str) {
    cell["source"] = text.split_inclusive('\n').collect();
}

/// Writes a variant of each notebook to a folder. Never overwrites a file.
pub fn export(variant: Variant, folder: &Path) -> Result<()> {
    let folder = std::path::absolute(folder)?;
    if variant == Variant::Instructor {
        write_new(&folder.join("nbgrader_config.py"), NBGRADER_CONFIG.as_bytes())?;
    }
    for path in files("notebooks", "ipynb")? {
        let mut notebook = Notebook::read(&path)?;
        let helpers = prepared::helpers();
        for cell in notebook.cells() {
            set_source(cell, &source(cell).replace("path = \"../helpers\"", &helpers));
        }
        let name = path.file_stem().context("a notebook has a name")?.display();
        let (file, text) = match variant {
            Variant::Student => (format!("{name}.ipynb"), notebook.student().text()?),
            Variant::Instructor => {
                (format!("source/{name}/{name}.ipynb"), notebook.solved(true)?.text()?)
            }
            Variant::Script => (format!("{name}.rs"), notebook.script()?.into_bytes()),
        };
        let target = folder.join(file);
        write_new(&target, &text)?;
        println!("written: {}", target.display());
    }
    Ok(())
}

fn write_new(path: &Path, text: &[u8]) -> Result<()> {
    if path.exists() {
        bail!("export: {} exists: name another folder, or delete it first", path.display());
    }
    fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
    fs::write(path, text).with_context(|| store::cannot_write(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The function of this name in a file of `helpers`, with its documentation.
    fn function(file: &str, name: &str) -> Result<String> {
        let code = fs::read_to_string(crate::root().join("helpers/src").join(file))?;
        let lines: Vec<&str> = code.lines().collect();
        let is_start =
            |line: &&str| !line.starts_with(' ') && line.contains(&format!("fn {name}("));
        let start = lines.iter().position(is_start).context("there is no such function")?;
        let is_above = |line: &&&str| line.starts_with("///") || line.starts_with("#[");
        let n_above = lines[..start].iter().rev().take_while(is_above).count();
        let length = lines[start..].iter().position(|line| *line == "}").context("no end")?;
        Ok(lines[start - n_above..=start + length].join("\n"))
    }

    /// A text with the functions that it shows up to date.
    fn with_functions(text: &str) -> Result<String> {
        const BLOCK: &str = "```rust\n// helpers/src/";
        let mut parts = text.split(BLOCK);
        let mut updated = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (title, rest) = part.split_once('\n').context("a block has lines")?;
            let (_, rest) = rest.split_once("```").context("a block has an end")?;
            let (file, name) = title.split_once(": ").context("expected FILE: FUNCTION")?;
            let function = function(file, name).context(part.to_owned())?;
            updated += &format!("{BLOCK}{title}\n{function}\n```{rest}");
        }
        Ok(updated)
    }

    /// Rewrites what is out of date and fails once.
    #[test]
    fn functions_in_texts_are_those_of_the_crate() {
        for path in files("notebooks", "ipynb").unwrap() {
            let mut notebook = Notebook::read(&path).unwrap();
            let before = notebook.clone();
            for cell in notebook.cells() {
                set_source(cell, &with_functions(&source(cell)).unwrap());
            }
            if notebook != before {
                fs::write(&path, notebook.text().unwrap()).unwrap();
                panic!("{}: rewrote functions of helpers: commit the file", path.display());
            }
        }
    }

    #[test]
    fn a_notebook_is_written_as_it_was_read() {
        for path in files("notebooks", "ipynb").unwrap() {
            let text = Notebook::read(&path).unwrap().text().unwrap();
            assert!(text == fs::read(&path).unwrap(), "{}", path.display());
        }
    }

    #[test]
    fn solution_stands_in_place_of_the_lines_that_call_unsolved() {
        let notebook = Notebook(json!({"cells": [
            {"id": "1-exercise-x", "metadata": {"tags": ["exercise"]},
             "source": "a\n  let b = unsolved::b();\nc"},
            {"id": "2-check-x", "metadata": {"tags": ["check"]}, "source": "check()"},
            {"id": "3-solution-x", "metadata": {"tags": ["solution"]},
             "source": "Why.\n```rust\nlet b = 1;\nb\n```\n"},
        ]}));
        let mut solved = notebook.clone().solved(false).unwrap();
        assert_eq!(solved.cells().len(), 2);
        assert_eq!(source(&solved.cells()[0]), "a\n  let b = 1;\n  b\nc");
        let marked = "a\n  // BEGIN SOLUTION: let b = unsolved::b();\n  let b = 1;\n  b\n  // END SOLUTION\nc";
        assert_eq!(source(&notebook.solved(true).unwrap().cells()[0]), marked);
        assert!(answered("unsolved::b()", &[], false).is_err());
        assert!(answered("b", &["1".to_owned()], false).is_err());
    }

    #[test]
    fn export_never_overwrites() {
        let notebooks = crate::root().join("notebooks");
        let err = export(Variant::Student, &notebooks).unwrap_err().to_string();
        assert!(err.contains("exists: name another folder"), "{err}");
    }
}
