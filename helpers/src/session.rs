//! What makes a notebook session comfortable: errors of one line, and feedback.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::{
    DeepNetReLU, Error, Result, Source, Split, Tensor, TorchRng, fetch_or_simulate_recording,
    load_data, source, split,
};

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
/// If there is no such section, or no file can be read or written.
pub fn catch_up(section: u32) -> Result<CaughtUp> {
    if !(2..=3).contains(&section) {
        return Err(Error::Msg(format!(
            "catch_up: expected section 2 or 3, got {section}: other sections have nothing to \
             catch up with"
        )));
    }
    let fname = fetch_or_simulate_recording()?;
    let data_source = source(&fname)?;
    println!("the data are {data_source}");
    let (resp_all, stimuli_all) = load_data(&fname, 1)?;
    let (n_stimuli, n_neurons) = resp_all.dims2()?;
    let Split {
        resp_train,
        stimuli_train,
        resp_test,
        stimuli_test,
    } = split(&mut TorchRng::manual_seed(4), &resp_all, &stimuli_all)?;
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

/// Keeps a rating from 1 (poor) to 5 (great) and a comment on a part of the tutorial in
/// `feedback.csv`, in the folder of the notebook. A rating of 0 means "not rated yet" and keeps
/// nothing.
///
/// Nothing is sent anywhere unless the environment variable `FEEDBACK_ADDRESS` has the address of a
/// server. Then the line that was kept is sent there, by HTTP POST as `text/csv`, and printed: that
/// line and nothing else.
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
    match rating {
        0 => {
            println!("no feedback kept: put a rating from 1 to 5 where the 0 is");
            return Ok(());
        }
        1..=5 => {}
        _ => {
            return Err(Error::Msg(format!(
                "feedback: expected a rating from 1 to 5, got {rating}: run this again with one"
            )));
        }
    }
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
    let Some(address) = address else {
        return Ok(());
    };
    print!("sending to {address}: {line}");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into();
    let sent = agent.post(address).content_type("text/csv").send(&line);
    sent.map(drop).map_err(|why| {
        Error::Msg(format!(
            "feedback: kept, but cannot be sent to {address} ({why}): hand in {} later",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn feedback_is_appended_and_survives_quotes_and_commas() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feedback.csv");
        feedback_to(&path, None, "Video_1", 5, "clear, \"really\"").unwrap();
        feedback_to(&path, None, "Video_2", 0, "not kept").unwrap();
        feedback_to(&path, None, "Video_3", 1, "").unwrap();
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            kept,
            "\"Video_1\",5,\"clear, \"\"really\"\"\"\n\"Video_3\",1,\"\"\n"
        );
    }

    #[test]
    fn a_rating_out_of_range_is_told() {
        let error = feedback_to(Path::new("never written"), None, "s", 6, "").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected a rating from 1 to 5, got 6")
        );
    }

    #[test]
    fn what_is_sent_is_what_is_kept_and_nothing_else() {
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
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .unwrap();
            request
        });
        feedback_to(&path, Some(&address), "Video_1", 5, "clear").unwrap();
        let request = received.join().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, std::fs::read_to_string(&path).unwrap());
        assert!(head.contains("POST / HTTP/1.1"), "{head}");
        assert!(
            head.to_lowercase().contains("content-type: text/csv"),
            "{head}"
        );

        // No server any more: kept all the same, and told.
        let error = feedback_to(&path, Some(&address), "Video_2", 4, "")
            .unwrap_err()
            .to_string();
        assert!(error.contains("kept, but cannot be sent"), "{error}");
        assert!(std::fs::read_to_string(&path).unwrap().contains("Video_2"));
    }

    #[test]
    fn there_is_nothing_to_catch_up_with_before_section_2() {
        let error = catch_up(1).unwrap_err().to_string();
        assert!(error.contains("expected section 2 or 3, got 1"), "{error}");
    }
}
