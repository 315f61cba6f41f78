//! What a kernel with the project's patches can do and stock evcxr cannot: stop a cell and keep the
//! variables, show a figure at once, and update it. On stock evcxr a figure shows when its cell ends.

use std::collections::BTreeMap;
use std::panic;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

/// The flag that a patched kernel sets when the user interrupts the cell.
static INTERRUPTED: LazyLock<Option<&'static AtomicBool>> = LazyLock::new(|| {
    let location = std::env::var("EVCXR_INTERRUPTED_AT").ok()?;
    let address = address(&location, std::process::id())?;
    // SAFETY: our process says that there is a flag at this address as long as it runs.
    Some(unsafe { AtomicBool::from_ptr(address as *mut bool) })
});

/// The address in `pid:address`. A process that a cell starts inherits the variable, but not the flag.
fn address(location: &str, pid: u32) -> Option<usize> {
    let (owner, address) = location.split_once(':')?;
    if owner.parse() == Ok(pid) { address.parse().ok() } else { None }
}

/// Whether the kernel has the project's patches: it reports panics itself, and a cell can send it
/// messages for the front end.
pub(crate) fn is_patched() -> bool {
    INTERRUPTED.is_some()
}

/// Ends the cell if the user has interrupted it. Call it in code that runs for long.
pub(crate) fn check_interrupt() {
    if let Some(flag) = *INTERRUPTED {
        unwind_if_set(flag);
    }
}

/// Unwinds, so that the kernel keeps the variables of earlier cells. An error would not do: callers
/// handle errors, as `fetch_recording().or_else(..)` does.
fn unwind_if_set(flag: &AtomicBool) {
    // A second panic, in a destructor, would end the process.
    if flag.load(Ordering::Relaxed) && !std::thread::panicking() {
        panic::resume_unwind(Box::new("interrupted"));
    }
}

/// What to show, by MIME type; the front end takes the best that it can show.
pub(crate) type Formats = BTreeMap<&'static str, String>;

/// Shows something at once. Stock evcxr shows it when the cell ends, unless something else follows.
pub(crate) fn show(formats: &Formats) {
    if is_patched() {
        println!("{}", message("display_data", formats, &json!({})));
        return;
    }
    for (mime_type, content) in formats {
        println!("EVCXR_BEGIN_CONTENT {mime_type}\n{content}\nEVCXR_END_CONTENT");
    }
}

/// Shows something that can be updated, or updates what has this `id`. Needs a patched kernel.
pub(crate) fn show_live(formats: &Formats, id: &str, is_update: bool) {
    let message_type = if is_update { "update_display_data" } else { "display_data" };
    println!("{}", message(message_type, formats, &json!({ "display_id": id })));
}

/// The line that a patched kernel sends on as a message of the Jupyter protocol.
fn message(message_type: &str, formats: &Formats, transient: &Value) -> String {
    let content = json!({ "data": formats, "metadata": {}, "transient": transient });
    format!("EVCXR_MESSAGE {message_type} {content}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_belongs_to_one_process() {
        assert_eq!(address("12:4096", 12), Some(4096));
        assert_eq!(address("12:4096", 1), None);
        assert_eq!(address("12:", 12), None);
        assert_eq!(address("4096", 12), None);
    }

    #[test]
    fn set_flag_unwinds() {
        let run = |flag: AtomicBool| panic::catch_unwind(move || unwind_if_set(&flag));
        assert!(run(AtomicBool::new(false)).is_ok());
        let payload = run(AtomicBool::new(true)).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"interrupted"));
    }

    #[test]
    fn message_is_one_line_of_json() {
        let formats = Formats::from([("text/html", "<b title=\"a\">\n'b'</b>".to_owned())]);
        let line = message("display_data", &formats, &json!({ "display_id": "c" }));
        assert_eq!(line.lines().count(), 1);
        let json = line.strip_prefix("EVCXR_MESSAGE display_data ").unwrap();
        let content: Value = serde_json::from_str(json).unwrap();
        assert_eq!(content["data"]["text/html"], formats["text/html"]);
        assert_eq!(content["metadata"], json!({}));
        assert_eq!(content["transient"]["display_id"], "c");
    }
}
