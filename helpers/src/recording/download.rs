//! The download of the recording.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::{Result, bail};

use super::{absolute, one_line, open_file, temp_file};
use crate::kernel::check_interrupt;

const FILE_NAME: &str = "W3D4_stringer_oribinned1.npz";
const URL: &str = "https://osf.io/683xc/download";
const MD5: &str = "436599dfd8ebe6019f066c38aed20580";

/// Returns the path of the recording, `W3D4_stringer_oribinned1.npz` in the working directory
/// (for a notebook: its folder). Downloads the recording if that file does not exist.
///
/// The file gets its name only when it is complete.
///
/// # Errors
/// If the host cannot be reached, or the file is not the published one (md5).
pub fn fetch_recording() -> Result<PathBuf> {
    fetch(URL, MD5, Path::new(FILE_NAME))
}

fn fetch(url: &str, md5: &str, path: &Path) -> Result<PathBuf> {
    let path = absolute(path);
    let shown = path.display();
    if path.exists() {
        return match md5_of(&path) {
            Ok(got) if got == md5 => Ok(path),
            Ok(got) => bail!(
                "fetch_recording: {shown} is not the published recording: expected md5 {md5}, \
                 got {got}: delete it and run this again"
            ),
            Err(err) => bail!(
                "fetch_recording: cannot read {shown} ({err}): make it readable, or delete it"
            ),
        };
    }

    let temp = match temp_file(&path) {
        Ok(temp) => temp,
        Err(err) => bail!(
            "fetch_recording: cannot write a file beside {shown} ({err}): make its folder writable"
        ),
    };
    match download(url, temp.as_file()).and_then(|()| md5_of(temp.path())) {
        Ok(got) if got == md5 => {}
        Ok(got) => bail!(
            "fetch_recording: the download from {url} arrived damaged: expected md5 {md5}, got \
             {got}: run this again"
        ),
        Err(err) => bail!(
            "fetch_recording: cannot download {url} ({}): run this again when online, or \
             download it by hand and save it as {shown}",
            one_line(err)
        ),
    }
    match temp.persist(&path) {
        Ok(_) => Ok(path),
        Err(err) => {
            bail!("fetch_recording: cannot save {shown} ({}): make its folder writable", err.error)
        }
    }
}

fn md5_of(path: &Path) -> io::Result<String> {
    let mut md5 = md5::Context::new();
    io::copy(&mut open_file(path)?, &mut md5)?;
    Ok(format!("{:x}", md5.finalize()))
}

/// Downloads `url` into a file and prints every few megabytes how far it is.
fn download(url: &str, mut file: &File) -> io::Result<()> {
    let agent = ureq::Agent::from(
        ureq::Agent::config_builder()
            .timeout_resolve(Some(Duration::from_secs(10)))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_per_read(Some(Duration::from_secs(30)))
            .build(),
    );
    let body = agent.get(url).call().map_err(io::Error::other)?.into_body();
    let megabytes = |n_bytes: u64| format!("{:.0}", n_bytes as f64 / 1e6);
    let total = body.content_length().map_or("?".to_owned(), megabytes);
    let mut body = body.into_reader();
    let mut done = 0;
    const STEP: u64 = 4_000_000;
    loop {
        check_interrupt();
        let n = io::copy(&mut (&mut body).take(1 << 16), &mut file)?;
        if n == 0 {
            return Ok(());
        }
        done += n;
        if done / STEP > (done - n) / STEP {
            println!("downloaded {} of {total} MB", megabytes(done));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    /// Serves one answer on a port of this machine and returns its address.
    fn serve(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/recording", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const MD5_OF_HELLO: &str = "5d41402abc4b2a76b9719d911017c592";

    fn files_in(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn matching_download_is_kept_and_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording.npz");
        let url = serve(HELLO);
        assert_eq!(fetch(&url, MD5_OF_HELLO, &path).unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), b"hello");
        // The server answered once and is gone.
        assert_eq!(fetch(&url, MD5_OF_HELLO, &path).unwrap(), path);
        assert_eq!(files_in(dir.path()), 1);
    }

    /// The first line of the error. A backtrace can follow.
    fn fetch_error(url: &str, path: &Path) -> String {
        let error = fetch(url, "0", path).unwrap_err().to_string();
        error.lines().next().unwrap().to_owned()
    }

    #[test]
    fn failed_downloads_are_errors_of_one_line_and_leave_no_file() {
        let incomplete = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
        let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording.npz");
        let by_hand = format!("save it as {}", path.display());
        for (answer, expected, advice) in [
            (HELLO, "arrived damaged: expected md5 0", "run this again"),
            (incomplete, "cannot download", &by_hand),
            (not_found, "404", &by_hand),
        ] {
            let error = fetch_error(&serve(answer), &path);
            assert!(error.contains(expected), "{error}");
            assert!(error.ends_with(advice), "{error}");
            assert_eq!(files_in(dir.path()), 0, "{answer}");
        }
        let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let error = fetch_error(&format!("http://{}/", unused.unwrap()), &path);
        assert!(error.ends_with(&by_hand), "{error}");
    }

    #[test]
    fn different_file_of_that_name_is_an_error_and_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording.npz");
        fs::write(&path, "mine").unwrap();
        let error = fetch_error("http://localhost:1/", &path);
        assert!(error.contains("is not the published recording"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
