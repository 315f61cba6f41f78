//! The download of the recording.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{Result, bail};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::{absolute, one_line, open_file, temp_file};
use crate::kernel::check_interrupt;

const FILE_NAME: &str = "W3D4_stringer_oribinned1.npz";
const URL: &str = "https://osf.io/683xc/download";
const MD5: &str = "436599dfd8ebe6019f066c38aed20580";

/// For how long nothing may arrive, and how large the file may be. (The recording is smaller.)
struct Limits {
    silence: Duration,
    n_bytes: u64,
}

/// Returns the path of the recording, `W3D4_stringer_oribinned1.npz` in the working directory
/// (for a notebook: its folder). Downloads the recording if that file does not exist.
///
/// The file gets its name only when it is complete. The certificates are those of the system, or of
/// the file that the environment variable `SSL_CERT_FILE` names.
///
/// # Errors
/// If the host cannot be reached, or the md5 of the file is not that of the published recording.
pub fn fetch_recording() -> Result<PathBuf> {
    let limits = Limits { silence: Duration::from_secs(30), n_bytes: 100_000_000 };
    fetch(URL, MD5, Path::new(FILE_NAME), &limits)
}

fn fetch(url: &str, md5: &str, path: &Path, limits: &Limits) -> Result<PathBuf> {
    const N_TRIES: usize = 3;
    let path = absolute(path);
    let shown = one_line(path.display());
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
    let mut i = 1;
    loop {
        let Err(err) = download(url, md5, &path, limits) else { return Ok(path) };
        let (can_try_again, advice) = advice(&err);
        let err = one_line(err);
        if i == N_TRIES || !can_try_again {
            bail!(
                "fetch_recording: cannot download {url} ({err}): {advice}, or download it in a \
                 browser and save it as {shown}"
            )
        }
        println!("try {i} of {N_TRIES} failed: {err}");
        i += 1;
    }
}

/// Whether another try can help, and what the user can do.
fn advice(err: &io::Error) -> (bool, &'static str) {
    match err.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (false, "make 100 MB of space on the disk and run this again")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotFound => {
            (false, "make the folder of the notebook writable and run this again")
        }
        ErrorKind::Unsupported => (false, "log in to this network and run this again"),
        _ if err.to_string().contains("certificate") => {
            (false, "set SSL_CERT_FILE to the file with this network's certificates")
        }
        _ => (true, "run this again when online"),
    }
}

/// Downloads into a temporary file. If its md5 is right, the file gets its name.
fn download(url: &str, md5: &str, path: &Path, limits: &Limits) -> io::Result<()> {
    let temp = temp_file(path)?;
    println!("downloading {url}");
    receive(url, temp.as_file(), limits)?;
    let got = md5_of(temp.path())?;
    if got != md5 {
        let damaged = format!("it arrived damaged: expected md5 {md5}, got {got}");
        return Err(io::Error::other(damaged));
    }
    temp.persist(path)?;
    Ok(())
}

fn md5_of(path: &Path) -> io::Result<String> {
    let mut md5 = md5::Context::new();
    io::copy(&mut open_file(path)?, &mut md5)?;
    Ok(format!("{:x}", md5.finalize()))
}

/// Writes what arrives to a file, and prints every few megabytes or seconds how much has arrived.
fn receive(url: &str, mut file: &File, limits: &Limits) -> io::Result<()> {
    let connect = Some(limits.silence / 3);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_resolve(connect)
        .timeout_connect(connect)
        .timeout_recv_response(Some(limits.silence))
        .timeout_per_read(Some(limits.silence))
        .https_only(url.starts_with("https:"))
        .tls_config(tls_config())
        .build()
        .into();
    let body = agent.get(url).call().map_err(io::Error::other)?.into_body();
    if body.mime_type() == Some("text/html") {
        let page = "a web page came in place of the file";
        return Err(io::Error::new(ErrorKind::Unsupported, page));
    }
    let megabytes = |n_bytes: u64| format!("{:.0}", n_bytes as f64 / 1e6);
    let total = body.content_length().map_or("?".to_owned(), megabytes);
    let mut body = body.into_with_config().limit(limits.n_bytes).reader();
    let mut done = 0;
    let mut printed: Option<(u64, Instant)> = None;
    loop {
        check_interrupt();
        let is_due =
            |(n, when): (u64, Instant)| done - n >= 4_000_000 || when.elapsed().as_secs() > 3;
        if printed.is_none_or(is_due) {
            println!("downloaded {} of {total} MB", megabytes(done));
            printed = Some((done, Instant::now()));
        }
        let n = io::copy(&mut (&mut body).take(1 << 16), &mut file)?;
        if n == 0 {
            return Ok(());
        }
        done += n;
    }
}

/// Trusts the certificates of the system, or Mozilla's if the system has no file with certificates. A
/// network that decrypts its users' traffic has added its own certificate to those of the system.
pub fn tls_config() -> TlsConfig {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let usual = ["ssl/certs/ca-certificates.crt", "pki/tls/certs/ca-bundle.crt", "ssl/cert.pem"];
    let mut files = named.into_iter().chain(usual.map(|path| Path::new("/etc").join(path)));
    let pem = files.find_map(|path| fs::read(path).ok()).unwrap_or_default();
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    let certificates: Vec<_> = parse_pem(&pem).filter_map(certificate).collect();
    let roots = if certificates.is_empty() { RootCerts::WebPki } else { certificates.into() };
    TlsConfig::builder().root_certs(roots).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    /// Serves these answers on a port of this machine, the last one again and again, and returns
    /// its address.
    fn serve(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/recording", listener.local_addr().unwrap());
        thread::spawn(move || {
            let mut open = Vec::new();
            for (i, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let answer = answers[i.min(answers.len() - 1)];
                let _ = stream.read(&mut [0; 4096]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                if answer == STALLED {
                    open.push(stream);
                }
            }
        });
        url
    }

    const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const MD5_OF_HELLO: &str = "5d41402abc4b2a76b9719d911017c592";
    const INCOMPLETE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
    const STALLED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nhello";
    const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    const UNLIMITED: &str = "HTTP/1.1 200 OK\r\n\r\nhello, hello, hello";
    const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Log in";

    fn try_fetch(url: &str, md5: &str, path: &Path) -> Result<PathBuf> {
        fetch(url, md5, path, &Limits { silence: Duration::from_millis(300), n_bytes: 9 })
    }

    fn files_in(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn matching_download_is_kept_and_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording.npz");
        // The third try succeeds.
        let url = serve(&[INCOMPLETE, NOT_FOUND, HELLO]);
        for url in [&url, "http://localhost:1/"] {
            assert_eq!(try_fetch(url, MD5_OF_HELLO, &path).unwrap(), path);
            assert_eq!(fs::read(&path).unwrap(), b"hello");
            assert_eq!(files_in(dir.path()), 1);
        }
    }

    /// The first line of the error. A backtrace can follow.
    fn fetch_error(url: &str, path: &Path) -> String {
        let error = try_fetch(url, "0", path).unwrap_err().to_string();
        error.lines().next().unwrap().to_owned()
    }

    #[test]
    fn failed_downloads_are_errors_of_one_line_and_leave_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording.npz");
        let again = "run this again when online, or download it";
        let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (url, expected, advice) in [
            (serve(&[HELLO]), "arrived damaged: expected md5 0", again),
            (serve(&[INCOMPLETE]), "cannot download", again),
            (serve(&[STALLED]), "timeout", again),
            (serve(&[NOT_FOUND]), "404", again),
            (serve(&[UNLIMITED]), "limit", again),
            (serve(&[PAGE]), "a web page came in place of the file", "log in to this network"),
            (format!("http://{unused}/"), "refused", again),
            ("https://[::1/".to_owned(), "cannot download", again),
        ] {
            let error = fetch_error(&url, &path);
            assert!(error.contains(expected), "expected {expected:?} in {error}");
            assert!(error.contains(advice), "{error}");
            assert!(error.ends_with(&format!("save it as {}", path.display())), "{error}");
            assert_eq!(files_in(dir.path()), 0, "{url}");
        }
        for (err, expected) in [
            (io::Error::from(ErrorKind::StorageFull), "make 100 MB of space"),
            (io::Error::other("invalid peer certificate: UnknownIssuer"), "set SSL_CERT_FILE"),
        ] {
            assert!(!advice(&err).0 && advice(&err).1.starts_with(expected), "{err}");
        }
        let error = fetch_error("http://localhost:1/", &dir.path().join("no/such/folder/a.npz"));
        assert!(error.contains("make the folder of the notebook writable"), "{error}");
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
