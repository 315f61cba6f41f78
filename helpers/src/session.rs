//! What makes a notebook session comfortable: errors of one line, and feedback.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::{Error, Result};

/// Makes panics and errors in cells as short as their message, and training faster.
///
/// Call it in the first cell, before anything can fail: whether errors carry a backtrace is
/// decided once, at the first of them.
///
/// # Errors
/// None today; the `?` behind it is there because the kernel needs one that succeeded before it
/// can report one that did not.
pub fn setup() -> Result<()> {
    // SAFETY: a notebook's first cell runs on the only thread of its process that uses the
    // environment.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
    keep_freed_memory();
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a panic without a message");
        eprintln!(
            "{}",
            message
                .strip_prefix("not yet implemented: ")
                .unwrap_or(message)
        );
    }));
    Ok(())
}

/// Has the C library keep what is freed for the next use. Each step of training makes and drops
/// tensors of a megabyte or more; given back to the system, they come again page by page, and that
/// takes a third of the time.
fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only sets two numbers, which any later allocation may read.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
    }
}

/// Keeps a rating from 1 (poor) to 5 (great) and a comment on a part of the tutorial in
/// `feedback.csv`, in the folder of the notebook. Nothing is sent anywhere. A rating of 0 means
/// "not rated yet" and keeps nothing.
///
/// # Errors
/// If the rating is above 5 or the file cannot be written.
pub fn feedback(section: &str, rating: u8, comment: &str) -> Result<()> {
    feedback_to(Path::new("feedback.csv"), section, rating, comment)
}

fn feedback_to(path: &Path, section: &str, rating: u8, comment: &str) -> Result<()> {
    match rating {
        0 => println!("no feedback kept: put a rating from 1 to 5 where the 0 is"),
        1..=5 => {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let line = format!("{},{rating},{}\n", quoted(section), quoted(comment));
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .and_then(|mut file| file.write_all(line.as_bytes()))
                .map_err(|why| {
                    Error::Msg(format!(
                        "feedback: cannot write {} ({why}): make its folder writable",
                        path.display()
                    ))
                })?;
            println!("kept in {}: thank you", path.display());
        }
        _ => {
            return Err(Error::Msg(format!(
                "feedback: expected a rating from 1 to 5, got {rating}: run this again with one"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_is_appended_and_survives_quotes_and_commas() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feedback.csv");
        feedback_to(&path, "Video_1", 5, "clear, \"really\"").unwrap();
        feedback_to(&path, "Video_2", 0, "not kept").unwrap();
        feedback_to(&path, "Video_3", 1, "").unwrap();
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            kept,
            "\"Video_1\",5,\"clear, \"\"really\"\"\"\n\"Video_3\",1,\"\"\n"
        );
    }

    #[test]
    fn a_rating_out_of_range_is_told() {
        let error = feedback_to(Path::new("never written"), "s", 6, "").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected a rating from 1 to 5, got 6")
        );
    }
}
