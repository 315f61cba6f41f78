//! The download of the recording.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{fail, whole};
use crate::Result;

const FILE_NAME: &str = "W3D4_stringer_oribinned1.npz";
const URL: &str = "https://osf.io/683xc/download";
const MD5: &str = "436599dfd8ebe6019f066c38aed20580";

/// Returns the path of the recording, `W3D4_stringer_oribinned1.npz` in the working directory
/// (for a notebook: the folder it is in), after downloading it where it is not there yet.
///
/// The file gets its name only when it is whole: until then a download has another one.
///
/// # Errors
/// If the host cannot be reached or the file is not the one that was published (md5).
pub fn fetch_recording() -> Result<PathBuf> {
    fetch(URL, MD5, Path::new(FILE_NAME))
}

fn fetch(url: &str, md5: &str, path: &Path) -> Result<PathBuf> {
    let path = whole(path);
    if path.exists() {
        return match File::open(&path).and_then(|file| copy(file, io::sink(), None)) {
            Ok(got) if got == md5 => Ok(path),
            Ok(got) => fail(format!(
                "fetch_recording: {} is not the published recording: expected md5 {md5}, got \
                 {got}: delete it and run this again",
                path.display()
            )),
            Err(why) => fail(format!(
                "fetch_recording: cannot read {} ({why}): make it readable, or delete it",
                path.display()
            )),
        };
    }

    let part = match Part::beside(&path) {
        Ok(part) => part,
        Err(why) => {
            return fail(format!(
                "fetch_recording: cannot write beside {} ({why}): make its folder writable",
                path.display()
            ));
        }
    };
    match download(url, &part.file) {
        Ok(got) if got == md5 => {}
        Ok(got) => {
            return fail(format!(
                "fetch_recording: the download from {url} arrived damaged: expected md5 {md5}, \
                 got {got}: run this again"
            ));
        }
        Err(why) => {
            let why = why.to_string().replace('\n', " ");
            return fail(format!(
                "fetch_recording: cannot download {url} ({why}): run this again when online, or \
                 download it by hand and save it as {}",
                path.display()
            ));
        }
    }
    match fs::rename(&part.path, &path) {
        Ok(()) => Ok(path),
        Err(why) => fail(format!(
            "fetch_recording: cannot save {} ({why}): make its folder writable",
            path.display()
        )),
    }
}

/// A file that is on its way; what is left of it when this goes out of scope is deleted.
pub struct Part {
    pub path: PathBuf,
    /// Locked, for as long as this process lives.
    pub file: File,
}

impl Part {
    /// A name in the same folder, so that moving it into place is one step, and of this process,
    /// so that two notebooks do not write to one file. What processes have left that were
    /// interrupted is deleted.
    pub fn beside(path: &Path) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let folder = path.parent().unwrap_or(Path::new("."));
        for other in fs::read_dir(folder)?.flatten() {
            let other_name = other.file_name();
            let rest = other_name.to_str().and_then(|other| other.strip_prefix(&*name));
            if rest.is_some_and(|rest| rest.ends_with(".part")) {
                let file = File::options().write(true).open(other.path());
                if file.is_ok_and(|file| file.try_lock().is_ok()) {
                    let _ = fs::remove_file(other.path());
                }
            }
        }
        let path = folder.join(format!("{name}.{}.part", std::process::id()));
        let file = File::create(&path)?;
        let _ = file.try_lock(); // where there are no locks, nothing is deleted either
        Ok(Self { path, file })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Downloads `url` into a file and returns the md5 of what came.
fn download(url: &str, file: &File) -> io::Result<String> {
    let agent = ureq::Agent::from(
        ureq::Agent::config_builder()
            .timeout_resolve(Some(Duration::from_secs(10)))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_recv_body(Some(Duration::from_secs(1800)))
            .build(),
    );
    let body = agent.get(url).call().map_err(io::Error::other)?.into_body();
    let length = body.content_length();
    copy(body.into_reader(), file, Some(length))
}

/// Copies all there is and returns its md5. A download, of a length that may be unknown, says every
/// few megabytes how far it is.
fn copy(
    mut from: impl Read,
    mut to: impl Write,
    download: Option<Option<u64>>,
) -> io::Result<String> {
    let mut md5 = md5::Context::new();
    let mut buffer = vec![0; 1 << 16];
    let (mut done, mut told) = (0, 0);
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        md5.consume(&buffer[..n]);
        to.write_all(&buffer[..n])?;
        done += n;
        if let Some(length) = download
            && done >= told + 4_000_000
        {
            told = done;
            let of = length.map(|length| format!(" of {:.0}", length as f64 / 1e6));
            println!("downloaded {:.0}{} MB", done as f64 / 1e6, of.unwrap_or_default());
        }
    }
    to.flush()?;
    Ok(format!("{:x}", md5.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_download_that_matches_gets_its_name_and_is_not_fetched_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording.npz");
        let url = serve(HELLO);
        assert_eq!(fetch(&url, MD5_OF_HELLO, &path).unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), b"hello");
        // The server answered once and is gone.
        assert_eq!(fetch(&url, MD5_OF_HELLO, &path).unwrap(), path);
        assert_eq!(files_in(dir.path()), 1);
    }

    /// A kernel that is interrupted has no time to clean up.
    #[test]
    fn what_an_interrupted_download_left_is_deleted_and_one_under_way_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.npz");
        let others = ["data.npz.1.part", "data.npz.2.part", "other.npz.1.part"];
        let [_left, under_way, _of_another] =
            others.map(|name| File::create(dir.path().join(name)).unwrap());
        under_way.lock().unwrap();
        drop(Part::beside(&path).unwrap());
        let there = others.map(|name| dir.path().join(name).exists());
        assert_eq!(there, [false, true, true]);
    }

    #[test]
    fn what_goes_wrong_on_the_way_is_one_line_and_leaves_no_file() {
        let answers = [
            (HELLO, "arrived damaged: expected md5 0"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "cannot download"),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        ];
        for (answer, expected) in answers {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("recording.npz");
            let error = fetch(&serve(answer), "0", &path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
            assert_eq!(files_in(dir.path()), 0, "{answer}");
        }
    }

    #[test]
    fn without_a_host_it_says_where_to_put_the_file_by_hand() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording.npz");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = fetch(&format!("http://{closed}/"), "0", &path).unwrap_err().to_string();
        assert!(error.ends_with(&format!("save it as {}", path.display())), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn another_file_under_that_name_is_told_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording.npz");
        fs::write(&path, "mine").unwrap();
        let error = fetch("http://localhost:1/", "0", &path).unwrap_err().to_string();
        assert!(error.contains("is not the published recording"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
