//! What a notebook calls besides the lesson: set-up, catching up, videos and feedback.

use std::any::Any;
use std::cell::Cell;
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::Duration;

use candle_core::{Error, Result, Tensor, bail};
use ureq::http::Uri;

use crate::kernel::{self, Formats};
use crate::net::DeepNetReLU;
use crate::recording::{
    Source, Split, fetch_or_simulate_recording, load_data, source, split, tls_config,
};
use crate::rng::TorchRng;

/// Shortens panics and errors in cells to their message, and prints the notice of the kernel's
/// launcher, if there is one.
///
/// Call it in the first cell: the first error decides whether errors carry a backtrace. It never
/// fails. It returns a `Result` because stock evcxr reports a failed `?` only after one succeeded.
pub fn setup() -> Result<()> {
    if std::env::var_os("RUST_LIB_BACKTRACE").is_none() {
        // SAFETY: in a notebook's first cell no other thread of the process uses the environment,
        // and in later cells the variable is set.
        unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
    }
    // A kernel that reports panics itself has a hook of its own.
    if !kernel::is_patched() {
        panic::set_hook(Box::new(|info| {
            if !SILENT.get() {
                eprintln!("{}", panic_message(info.payload()));
            }
        }));
    }
    if let Ok(notice) = std::env::var("KERNEL_NOTICE") {
        println!("{notice}");
    }
    Ok(())
}

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, and then `cleanup` even if `f` panics or the user interrupts the cell.
pub(crate) fn finally<T>(f: impl FnOnce() -> T, cleanup: impl FnOnce()) -> T {
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    cleanup();
    result.unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// Runs `f` and catches its panic. The hook that [`setup`] installs does not print this panic. An
/// interrupt of the cell is not caught.
pub(crate) fn catch_panic<T>(f: impl FnOnce() -> T) -> std::thread::Result<T> {
    SILENT.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    SILENT.set(false);
    kernel::check_interrupt();
    result
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    message.unwrap_or("a panic without a message")
}

/// The message of an error without its backtrace, which begins on the second line.
pub(crate) fn first_line(err: impl Display) -> String {
    err.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The variables that the cells above a section define.
#[derive(Debug)]
pub struct CaughtUp {
    /// Whether the data are recorded or simulated.
    pub data_source: Source,
    /// All responses, `(n_stimuli, n_neurons)`.
    pub resp_all: Tensor,
    /// All orientations in degrees, `(n_stimuli, 1)`.
    pub stimuli_all: Tensor,
    /// The number of stimuli.
    pub n_stimuli: usize,
    /// The number of neurons.
    pub n_neurons: usize,
    /// Responses to train on.
    pub resp_train: Tensor,
    /// The orientations that belong to them.
    pub stimuli_train: Tensor,
    /// Responses held out.
    pub resp_test: Tensor,
    /// The orientations that belong to them.
    pub stimuli_test: Tensor,
    /// The network of exercise 2.2, with 200 hidden units and the weights of seed 1.
    pub net: DeepNetReLU,
}

/// Returns the variables that the cells above section 2 or 3 define, so that you can begin there on a
/// fresh kernel. The data are simulated if the recording cannot be downloaded.
///
/// # Errors
/// If the section is neither 2 nor 3, or no file can be read or written.
pub fn catch_up(section: u32) -> Result<CaughtUp> {
    if !(2..=3).contains(&section) {
        bail!(
            "catch_up: expected section 2 or 3, got {section}: run a notebook from its first cell \
             to begin with section 1"
        )
    }
    let fname = fetch_or_simulate_recording()?;
    let data_source = source(&fname)?;
    println!("the data are {data_source}");
    let (resp_all, stimuli_all) = load_data(&fname, 1)?;
    let (n_stimuli, n_neurons) = resp_all.dims2()?;
    let Split { resp_train, stimuli_train, resp_test, stimuli_test } =
        split(&mut TorchRng::manual_seed(4), &resp_all, &stimuli_all)?;
    let net = DeepNetReLU::new(&mut TorchRng::manual_seed(1), n_neurons, 200)?;
    Ok(CaughtUp {
        data_source,
        resp_all,
        stimuli_all,
        n_stimuli,
        n_neurons,
        resp_train,
        stimuli_train,
        resp_test,
        stimuli_test,
        net,
    })
}

/// A video, on YouTube and on Bilibili. A notebook shows two players, both closed. Nothing is loaded
/// before a player is opened.
#[derive(Debug)]
pub struct Video {
    youtube: &'static str,
    bilibili: &'static str,
}

/// The video with these ids.
pub fn video(youtube: &'static str, bilibili: &'static str) -> Video {
    Video { youtube, bilibili }
}

impl Video {
    /// Called by the kernel for the last line of a cell.
    pub fn evcxr_display(&self) {
        let Self { youtube, bilibili } = self;
        let text = format!(
            "https://youtube.com/watch?v={youtube}\nhttps://www.bilibili.com/video/{bilibili}"
        );
        // A lazy frame in a closed <details> is not loaded.
        let player = |name: &str, address: String| {
            format!(
                "<details><summary>Watch on {name}</summary><iframe src='{address}' width='640' \
                 height='360' loading='lazy' allowfullscreen style='border: 0'></iframe></details>"
            )
        };
        let html = player("YouTube", format!("https://www.youtube-nocookie.com/embed/{youtube}"))
            + &player(
                "Bilibili",
                format!("https://player.bilibili.com/player.html?bvid={bilibili}&amp;autoplay=0"),
            );
        kernel::show(&Formats::from([("text/plain", text), ("text/html", html)]));
    }
}

/// Saves a rating from 1 (poor) to 5 (great) and a comment on a part of the tutorial to
/// `feedback.csv`, in the folder of the notebook. A rating of 0 means "not rated yet" and saves
/// nothing. Text that a spreadsheet would take for a formula is saved with a `'` before it.
///
/// Nothing is sent anywhere unless the environment variable `FEEDBACK_ADDRESS` has the address of a
/// server. Then the beginning of the saved line is printed, and the line is sent there, by HTTP POST
/// as `text/csv`: that line and nothing else.
///
/// # Errors
/// If the rating is above 5, the file cannot be written, or the line cannot be sent. An address
/// that redirects to another one counts as one that the line cannot be sent to.
pub fn feedback(section: &str, rating: u8, comment: &str) -> Result<()> {
    let address = std::env::var("FEEDBACK_ADDRESS").ok();
    let address = address.as_deref().filter(|address| !address.is_empty());
    feedback_to(Path::new("feedback.csv"), address, section, rating, comment)
}

fn feedback_to(
    path: &Path,
    address: Option<&str>,
    section: &str,
    rating: u8,
    comment: &str,
) -> Result<()> {
    if rating == 0 {
        println!("not saved: replace 0 with a rating from 1 to 5");
        return Ok(());
    }
    if rating > 5 {
        bail!("feedback: expected a rating from 1 to 5, got {rating}: change the rating")
    }
    let quoted = |text: &str| {
        let is_formula =
            text.trim_start_matches(' ').starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
        format!("\"{}{}\"", if is_formula { "'" } else { "" }, text.replace('"', "\"\""))
    };
    let line = format!("{},{rating},{}\n", quoted(section), quoted(comment));
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(|err| {
            Error::Msg(format!(
                "feedback: cannot write {} ({err}): make its folder writable",
                path.display()
            ))
        })?;
    println!("saved to {}", path.display());
    if let Some(address) = address
        && let Err(reason) = send(address, &line)
    {
        bail!(
            "feedback: saved, but cannot be sent to {} ({reason}): hand in {} later",
            host(address),
            path.display()
        )
    }
    Ok(())
}

/// Sends a line to an address, by HTTP POST. Returns the reason if that fails.
fn send(address: &str, line: &str) -> std::result::Result<(), String> {
    println!("sending to {}: {}", host(address), beginning(line));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .max_redirects(0) // a redirect would be followed without the line
        .tls_config(tls_config())
        .build()
        .into();
    match agent.post(address).content_type("text/csv").send(line) {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("it answers {}", answer.status())),
        Err(ureq::Error::BadUri(_)) => Err("it is not of the form https://host/path".to_owned()),
        Err(err) => Err(err.to_string()),
    }
}

/// The part of an address that is printed. An address can have a password in it, and learners hand
/// in the notebook with all that is printed.
fn host(address: &str) -> String {
    let uri = address.parse::<Uri>().ok();
    uri.and_then(|uri| Some(uri.host()?.to_owned())).unwrap_or("FEEDBACK_ADDRESS".to_owned())
}

/// The part of a line that is printed.
fn beginning(line: &str) -> String {
    match line.trim_end().char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn cleanup_runs_after_a_panic() {
        let is_clean = Cell::new(false);
        let panic: fn() = || panic!("no luck");
        let panicked = catch_panic(|| finally(panic, || is_clean.set(true))).unwrap_err();
        assert_eq!(panic_message(&*panicked), "no luck");
        assert!(is_clean.get());
    }

    #[test]
    fn caught_panic_keeps_its_message() {
        let formatted = catch_panic(|| panic!("no idea {}", 1)).unwrap_err();
        assert_eq!(panic_message(&*formatted), "no idea 1");
        let panic = catch_panic(|| panic!("no idea")).unwrap_err();
        assert_eq!(panic_message(&*panic), "no idea");
        assert!(!SILENT.get());
    }

    #[test]
    fn feedback_is_appended_with_formulas_as_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feedback.csv");
        feedback_to(&path, None, "Video_1", 5, "clear, \"really\"").unwrap();
        feedback_to(&path, None, "Video_2", 0, "not saved").unwrap();
        let error = feedback_to(&path, None, "Video_2", 6, "not saved").unwrap_err().to_string();
        assert!(error.contains("expected a rating from 1 to 5, got 6"), "{error}");
        let mut expected = "\"Video_1\",5,\"clear, \"\"really\"\"\"\n".to_owned();
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1"] {
            feedback_to(&path, None, text, 5, text).unwrap();
            expected += &format!("\"'{text}\",5,\"'{text}\"\n");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn neither_passwords_nor_long_comments_are_printed() {
        for (address, expected) in [
            ("https://me:secret@example.org:8443/feedback?key=secret", "example.org"),
            ("me:secret@example.org", "example.org"),
            ("me:secret@example.org/feedback", "FEEDBACK_ADDRESS"),
            ("https://me:sec ret@example.org/", "FEEDBACK_ADDRESS"),
        ] {
            assert_eq!(host(address), expected, "{address}");
        }
        assert_eq!(beginning("short\n"), "short");
        assert_eq!(beginning(&"é".repeat(100_000)), "é".repeat(200) + "...");
    }

    /// Answers one request on a port of this machine. Returns its address and what it will receive.
    fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://me:secret@{}/", server.local_addr().unwrap());
        let received = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = String::new();
            let mut buffer = [0; 4096];
            while !request.contains("clear\"") {
                let n = stream.read(&mut buffer).unwrap();
                request += std::str::from_utf8(&buffer[..n]).unwrap();
            }
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        (address, received)
    }

    #[test]
    fn only_the_saved_line_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feedback.csv");
        let (address, received) = server("HTTP/1.1 204 No Content\r\n\r\n");
        feedback_to(&path, Some(&address), "Video_1", 5, "clear").unwrap();
        let request = received.join().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, std::fs::read_to_string(&path).unwrap());
        assert!(head.contains("POST / HTTP/1.1"), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/csv"), "{head}");
    }

    #[test]
    fn line_that_is_not_sent_is_saved_and_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feedback.csv");
        let moved = server("HTTP/1.1 301 Moved Permanently\r\nLocation: http://b.org/\r\n\r\n");
        let (found, _) = server("HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n");
        for (address, expected) in [
            (moved.0.as_str(), "it answers 301"),
            (&found, "it answers 302"),
            (&found, "refused"), // the server answers once
            ("me:secret@example.org", "it is not of the form https://host/path"),
            ("https://", "cannot be sent to FEEDBACK_ADDRESS"),
        ] {
            let error = feedback_to(&path, Some(address), "Video_2", 4, "clear").unwrap_err();
            let error = error.to_string();
            assert!(error.contains("saved, but cannot be sent"), "{error}");
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"Video_2\",4,\"clear\"\n".repeat(5));
    }

    #[test]
    fn catching_up_with_section_1_is_an_error() {
        let error = catch_up(1).unwrap_err().to_string();
        assert!(error.contains("expected section 2 or 3, got 1"), "{error}");
    }
}
