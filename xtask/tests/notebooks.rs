//! The notebooks, on the real kernel and as files. Run by `cargo xtask test`, which sets up the
//! kernel first.

mod common;

use std::fs;
use std::process::Command;

use common::{cells, root, run, run_fixture, stream, text, tutorial};
use serde_json::Value;

#[track_caller]
fn assert_rejected(name: &str, why: &str) {
    let (passed, printed, _) = run_fixture(name);
    assert!(!passed, "{name} passed:\n{printed}");
    assert!(
        printed.contains(why),
        "{name}: expected {why:?} in\n{printed}"
    );
}

#[test]
fn a_panic_is_rejected() {
    assert_rejected(
        "panic",
        "FAILED: cell 2 (cell-2) stopped, and was not meant to",
    );
}

#[test]
fn a_failed_question_mark_is_rejected() {
    assert_rejected("failed_question_mark", "FAILED: cell 2 (cell-2) stopped");
}

#[test]
fn a_compile_error_is_rejected() {
    assert_rejected("compile_error", "FAILED: cell 1 (cell-1) stopped");
}

#[test]
fn a_cell_that_was_meant_to_stop_and_did_not_is_rejected() {
    assert_rejected(
        "did_not_stop",
        "FAILED: cell 1 (cell-1) was meant to stop, and did not",
    );
}

#[test]
fn a_process_that_dies_is_rejected() {
    assert_rejected("dead_kernel", "FAILED: cell 1 (cell-1)");
}

/// Were candle linked into every cell anew, both would be 18.
#[test]
fn variables_of_different_cells_get_gradients_of_their_own() {
    let (passed, printed, _) = run_fixture("gradients_across_cells");
    assert!(passed, "{printed}");
    assert!(printed.contains("da = [3.0], db = [5.0]"), "{printed}");
}

#[test]
fn errors_in_cells_are_short() {
    let (passed, printed, executed) = run_fixture("short_errors");
    assert!(passed, "{printed}");
    let errors = stream(&executed, "stderr");
    assert_eq!(errors.len(), 5, "{errors:?}");
    assert_eq!(errors[0].trim(), "Exercise 0: say what to do");
    for error in errors {
        assert!(error.lines().count() <= 2, "{error}");
    }
}

/// Runs a notebook, and holds the numbers that its text announces against those that its cells
/// print. Returns the executed notebook, and the announced blocks for the data that were used.
fn runs_as_its_text_says(name: &str) -> (Value, Vec<String>) {
    let (passed, printed, executed) = run(&root().join("notebooks").join(name));
    assert!(passed, "{printed}");
    let printed = stream(&executed, "stdout").concat();
    let fence = match printed.contains("the data are simulated") {
        true => "```simulated\n",
        false => "```text\n",
    };
    let announced: Vec<String> = cells(&executed, "markdown")
        .filter_map(|cell| {
            let text = text(&cell["source"]);
            let (_, block) = text.split_once(fence)?;
            Some(block.split_once("```").unwrap().0.trim().to_owned())
        })
        .collect();
    for lines in &announced {
        assert!(
            same_numbers(&printed, lines),
            "{lines}\nis not in\n{printed}"
        );
    }
    (executed, announced)
}

/// The figures of an executed notebook, each of which says what it shows.
fn figures(executed: &Value) -> usize {
    let outputs = cells(executed, "code").flat_map(|cell| cell["outputs"].as_array().unwrap());
    let figures: Vec<&Value> = outputs
        .filter(|output| output["data"]["image/png"].is_string())
        .collect();
    for figure in &figures {
        let html = text(&figure["data"]["text/html"]);
        let alt = html.split("alt='").nth(1).expect("alt text");
        assert!(alt.split('\'').next().unwrap().len() > 30, "{alt}");
    }
    figures.len()
}

#[test]
fn the_tutorial_runs_and_prints_what_its_text_says() {
    let (executed, announced) = runs_as_its_text_says("W1D5_Tutorial1.ipynb");
    let printed = stream(&executed, "stdout").concat();
    assert!(announced.len() >= 2, "{announced:?}");
    if printed.contains("the data are simulated") {
        // The README's table has the same losses.
        let readme = fs::read_to_string(root().join("README.md")).unwrap();
        let losses: Vec<&str> = announced
            .iter()
            .flat_map(|lines| lines.lines())
            .filter_map(|line| line.split_once("| loss: "))
            .map(|(_, loss)| loss)
            .collect();
        assert_eq!(losses.len(), 5, "{losses:?}");
        for loss in losses {
            assert!(readme.contains(loss), "the README does not have {loss}");
        }
    }
    let n = figures(&executed);
    assert_eq!(n, 4, "recording, network, gradient descent, loss");
    let page = fs::read_to_string(root().join("target/run/W1D5_Tutorial1.html")).unwrap();
    assert_eq!(
        page.matches("alt='").count() + page.matches("alt=\"").count(),
        n
    );
}

#[test]
fn the_bonus_runs_and_prints_what_its_text_says() {
    let (executed, announced) = runs_as_its_text_says("W1D5_Tutorial1_Bonus.ipynb");
    let printed = stream(&executed, "stdout").concat();
    if printed.contains("the data are simulated") {
        assert_eq!(announced.len(), 2, "{announced:?}");
    }
    assert_eq!(figures(&executed), 11);
    let table = cells(&executed, "code")
        .find(|cell| cell["id"] == "71-compare")
        .unwrap();
    assert!(table["outputs"].to_string().contains("population vector"));
}

/// Whether the lines occur in what was printed, with numbers equal to 1e-5 (processors differ).
fn same_numbers(printed: &str, lines: &str) -> bool {
    let same = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1e-5 * b.abs(),
        _ => a == b,
    };
    lines.lines().all(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        printed.lines().any(|got| {
            let got: Vec<&str> = got.split_whitespace().collect();
            // Behind the numbers there may be more, such as the time that a training took.
            got.len() >= words.len() && got.iter().zip(&words).all(|(a, b)| same(a, b))
        })
    })
}

/// The recording is not to be had where tests run, so this is done with what would be printed.
#[test]
fn a_run_on_the_recording_is_compared_with_the_published_numbers() {
    let compare = |printed: &str| {
        let program = "import sys; from run_notebook import compare_with_published as c; \
             print(*c(sys.argv[1]), sep='\\n')";
        let mut python = Command::new(std::env::var_os("LAB_PYTHON").unwrap());
        python
            .current_dir(root().join("xtask"))
            .args(["-c", program, printed]);
        String::from_utf8(python.output().unwrap().stdout).unwrap()
    };
    let printed = "the data are recorded\ndecoded orientation: 0.17 degrees\n\
        true orientation: 139.00 degrees\nmean squared error: 42949.15\n\
        iteration 10/50 | loss: 12219.761\niteration 20/50 | loss: 1672.735\n\
        iteration 30/50 | loss: 548.096\niteration 40/50 | loss: 235.619\n";
    let said = compare(printed);
    let verdicts: Vec<&str> = said
        .lines()
        .map(|line| line.rsplit_once(": ").unwrap().1)
        .collect();
    let expected = [
        "matches",
        "matches",
        "DIFFERS, got 42949.15",
        "matches",
        "DIFFERS, got 1672.735",
        "matches",
        "matches",
        "nothing was printed",
    ];
    assert_eq!(verdicts, expected, "{said}");
    assert_eq!(compare("the data are simulated, seed 1\n").trim(), "");
}

#[test]
fn every_cell_of_the_original_has_its_counterpart_in_order() {
    let notebook = tutorial();
    let numbers: Vec<usize> = notebook["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| cell["id"].as_str().unwrap()[..2].parse().unwrap())
        .collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    let missing: Vec<usize> = (0..53).filter(|i| !numbers.contains(i)).collect();
    assert!(
        missing.is_empty(),
        "no cell for {missing:?} of the original"
    );
}
