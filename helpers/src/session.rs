//! What makes a notebook session comfortable: errors of one line, and feedback.

use std::any::Any;
use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::Duration;

use candle_core::{Error, Result, Tensor, bail};

use crate::kernel;
use crate::net::DeepNetReLU;
use crate::recording::{Source, Split, fetch_or_simulate_recording, load_data, source, split};
use crate::rng::TorchRng;

/// Makes panics and errors in cells as short as their message, and prints what the kernel's launcher
/// has to say.
///
/// Call it in the first cell: whether errors carry a backtrace is decided at the first error.
/// Never fails. Returns `Result` because evcxr only reports a failed `?` after one has succeeded.
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
                eprintln!("{}", panic_message(info.payload()).0);
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

/// Runs `f` and catches its panic, of which the hook that [`setup`] installs prints nothing. An
/// interrupt of the cell is not caught.
pub(crate) fn catch_panic<T>(f: impl FnOnce() -> T) -> std::thread::Result<T> {
    SILENT.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    SILENT.set(false);
    kernel::check_interrupt();
    result
}

/// The message of a panic, and whether it comes from a `todo!`, whose standard words are left out.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> (&str, bool) {
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("a panic without a message");
    match message.strip_prefix("not yet implemented: ") {
        Some(task) => (task, true),
        None => (message, false),
    }
}

/// The names that the cells above a section have given.
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

/// For those who begin with section 2 or 3 on a fresh kernel: data, split and network as the cells
/// above that section leave them, the recording if it can be had and the simulated one if not.
///
/// # Errors
/// If the section is neither 2 nor 3, or no file can be read or written.
pub fn catch_up(section: u32) -> Result<CaughtUp> {
    if !(2..=3).contains(&section) {
        bail!(
            "catch_up: expected section 2 or 3, got {section}: before the others there is nothing \
             to catch up with"
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

/// Saves a rating from 1 (poor) to 5 (great) and a comment on a part of the tutorial to
/// `feedback.csv`, in the folder of the notebook. A rating of 0 means "not rated yet" and saves
/// nothing.
///
/// Nothing is sent anywhere unless the environment variable `FEEDBACK_ADDRESS` has the address of a
/// server. Then the saved line is printed and sent there, by HTTP POST as `text/csv`: that line and
/// nothing else.
///
/// # Errors
/// If the rating is above 5, the file cannot be written, or the line cannot be sent.
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
        bail!("feedback: expected a rating from 1 to 5, got {rating}: run this again with one")
    }
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
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
    let Some(address) = address else {
        return Ok(());
    };
    print!("sending to {address}: {line}");
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().into();
    let sent = agent.post(address).content_type("text/csv").send(&line);
    sent.map(drop).map_err(|err| {
        Error::Msg(format!(
            "feedback: saved, but cannot be sent to {address} ({err}): hand in {} later",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn caught_panic_keeps_its_message() {
        let todo = catch_panic(|| todo!("Exercise {}", 1)).unwrap_err();
        assert_eq!(panic_message(&*todo), ("Exercise 1", true));
        let panic = catch_panic(|| panic!("no idea")).unwrap_err();
        assert_eq!(panic_message(&*panic), ("no idea", false));
        assert!(!SILENT.get());
    }

    #[test]
    fn feedback_with_quotes_and_commas_is_appended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feedback.csv");
        feedback_to(&path, None, "Video_1", 5, "clear, \"really\"").unwrap();
        feedback_to(&path, None, "Video_2", 0, "not saved").unwrap();
        feedback_to(&path, None, "Video_3", 1, "").unwrap();
        let saved = std::fs::read_to_string(&path).unwrap();
        assert_eq!(saved, "\"Video_1\",5,\"clear, \"\"really\"\"\"\n\"Video_3\",1,\"\"\n");
    }

    #[test]
    fn rating_out_of_range_is_an_error() {
        let error = feedback_to(Path::new("never written"), None, "s", 6, "").unwrap_err();
        assert!(error.to_string().contains("expected a rating from 1 to 5, got 6"));
    }

    #[test]
    fn only_the_saved_line_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feedback.csv");
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", server.local_addr().unwrap());
        let received = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = String::new();
            let mut buffer = [0; 4096];
            while !request.contains("clear\"") {
                let n = stream.read(&mut buffer).unwrap();
                request += std::str::from_utf8(&buffer[..n]).unwrap();
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            request
        });
        feedback_to(&path, Some(&address), "Video_1", 5, "clear").unwrap();
        let request = received.join().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, std::fs::read_to_string(&path).unwrap());
        assert!(head.contains("POST / HTTP/1.1"), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/csv"), "{head}");

        // Without the server, the line is saved and an error says what failed.
        let error = feedback_to(&path, Some(&address), "Video_2", 4, "").unwrap_err().to_string();
        assert!(error.contains("saved, but cannot be sent"), "{error}");
        assert!(std::fs::read_to_string(&path).unwrap().contains("Video_2"));
    }

    #[test]
    fn catching_up_with_section_1_is_an_error() {
        let error = catch_up(1).unwrap_err().to_string();
        assert!(error.contains("expected section 2 or 3, got 1"), "{error}");
    }
}
