//! Reading NumPy's `.npz` format: a zip archive of `.npy` files, one per array.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use candle_core::{Result, bail};
use half::f16;
use npyz::{DType, Deserialize, TypeRead};
use zip::{ZipArchive, read::ZipFile};

use super::{absolute, memory, one_line, open_file};

/// Bytes of the longest header that is read. A matrix needs 128.
const MAX_HEADER: u64 = 10_000;
/// Deflate packs at most this many bytes into one.
const MAX_COMPRESSION: u64 = 1032;

/// An open `.npz` file.
pub struct Npz {
    caller: &'static str,
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
}

/// An array in C order.
pub struct Array<T> {
    pub shape: Vec<usize>,
    pub values: Vec<T>,
}

impl Npz {
    /// Opens a file. Errors begin with the name of the caller.
    pub fn open(caller: &'static str, path: &Path) -> Result<Self> {
        let path = absolute(path);
        let zip = open_file(&path).and_then(|file| Ok(ZipArchive::new(BufReader::new(file))?));
        match zip {
            Ok(zip) => Ok(Self { caller, path, zip }),
            Err(err) => bail!(
                "{caller}: cannot open {} as a .npz file ({}): give the path of a complete .npz \
                 file, such as fetch_recording() returns",
                one_line(path.display()),
                one_line(err)
            ),
        }
    }

    pub fn has_array(&self, name: &str) -> bool {
        self.zip.index_for_name(&format!("{name}.npy")).is_some()
    }

    /// Reads an array of integers or floating-point numbers. Each number is converted to f64, and
    /// from there by `from_f64` to the type that the caller needs.
    pub fn array<T: Copy>(&mut self, name: &str, from_f64: impl Fn(f64) -> T) -> Result<Array<T>> {
        if !self.has_array(name) {
            let names: Vec<_> = self.zip.file_names().flatten().collect();
            return self.invalid(name, "a member of that name", &format!("only {names:?}"));
        }
        let member = self.zip.by_name(&format!("{name}.npy"));
        let max_size = self.path.metadata()?.len().saturating_mul(MAX_COMPRESSION);
        let array = member.map_err(io::Error::from).and_then(|member| match member.size() {
            size if size > max_size => Err(io::Error::other("a size above what the file can hold")),
            _ => read_array(member, from_f64),
        });
        array.or_else(|err| self.invalid(name, "a complete array of numbers", &one_line(err)))
    }

    /// The error for an array that is not as expected.
    pub fn invalid<T>(&self, name: &str, expected: &str, got: &str) -> Result<T> {
        let got: String = got.chars().take(300).collect(); // the file decides how long it is
        let (caller, path) = (self.caller, one_line(self.path.display()));
        bail!(
            "{caller}: array '{name}' of {path}: expected {expected}, got {got}: delete the file \
             and download it again, or fix the program that wrote it"
        )
    }
}

struct Header {
    n_bytes: u64,
    descr: String,
    is_fortran: bool,
    shape: Vec<usize>,
}

/// Reads a header. npyz's own reader takes hours for nested brackets, and allocates as much memory as
/// the header asks for.
fn read_header(member: &mut impl Read) -> io::Result<Header> {
    let mut magic = Vec::new();
    member.take(8).read_to_end(&mut magic)?;
    let n_size_bytes = match magic.strip_prefix(b"\x93NUMPY") {
        Some([1, 0]) => 2,
        Some([2 | 3, 0]) => 4,
        _ => return Err(io::Error::other("something else than NumPy writes")),
    };
    let mut size = [0; 4];
    member.read_exact(&mut size[..n_size_bytes])?;
    let size = u64::from(u32::from_le_bytes(size));
    if size > MAX_HEADER {
        return Err(io::Error::other(format!("a header of {size} bytes")));
    }
    let mut header = String::new();
    member.take(size).read_to_string(&mut header)?;

    // A literal of Python's, such as {'descr': '<f4', 'fortran_order': False, 'shape': (3,), }
    let json: String = header.split_whitespace().collect();
    let json = json.replace('\'', "\"").replace('(', "[").replace(')', "]");
    let json = json.replace(",]", "]").replace(",}", "}");
    let json = json.replace("True", "true").replace("False", "false");
    let fields: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
    let shape = serde_json::from_value(fields["shape"].clone());
    match (fields["descr"].as_str(), fields["fortran_order"].as_bool(), shape) {
        (Some(descr), Some(is_fortran), Ok(shape)) => {
            let n_bytes = 8 + n_size_bytes as u64 + size;
            let native = descr.trim_start_matches('=');
            let order = if native.starts_with(char::is_alphabetic) { "<" } else { "" };
            let descr = format!("{order}{native}");
            Ok(Header { n_bytes, descr, is_fortran, shape })
        }
        _ => Err(io::Error::other(format!("the header {header}"))),
    }
}

fn read_array<T: Copy>(
    mut member: ZipFile<impl Read>,
    from_f64: impl Fn(f64) -> T,
) -> io::Result<Array<T>> {
    let header = read_header(&mut member)?;
    match header.descr.trim_start_matches(['<', '>', '|']) {
        "f2" => read_values(member, header, |x| from_f64(f16::to_f64(x))),
        "f4" => read_values(member, header, |x: f32| from_f64(x.into())),
        "f8" => read_values(member, header, from_f64),
        "i1" => read_values(member, header, |x: i8| from_f64(x.into())),
        "i2" => read_values(member, header, |x: i16| from_f64(x.into())),
        "i4" => read_values(member, header, |x: i32| from_f64(x.into())),
        "i8" => read_values(member, header, |x: i64| from_f64(x as f64)),
        "u1" => read_values(member, header, |x: u8| from_f64(x.into())),
        "u2" => read_values(member, header, |x: u16| from_f64(x.into())),
        "u4" => read_values(member, header, |x: u32| from_f64(x.into())),
        "u8" => read_values(member, header, |x: u64| from_f64(x as f64)),
        _ => Err(io::Error::other(format!("type '{}'", header.descr))),
    }
}

/// Reads in blocks that fit into the cache. At the end of the array, zip compares the checksum.
fn read_values<S: Deserialize, T: Copy>(
    mut member: ZipFile<impl Read>,
    Header { n_bytes, descr, is_fortran, shape }: Header,
    convert: impl Fn(S) -> T,
) -> io::Result<Array<T>> {
    let dtype = descr.parse().map(DType::new_scalar).map_err(io::Error::other)?;
    let reader = S::reader(&dtype).map_err(io::Error::other)?;

    // Compared before anything is unpacked, as the header can announce any shape.
    let n_announced = shape.iter().try_fold(1usize, |n, &length| n.checked_mul(length));
    let n_values = member.size().saturating_sub(n_bytes) as usize / size_of::<S>();
    let wrong_size = |n| format!("{n} values of type '{descr}' for shape {shape:?}");
    if n_announced != Some(n_values) {
        return Err(io::Error::other(wrong_size(n_values)));
    }
    let n_copies = if is_fortran { 2 } else { 1 };
    memory::check_free(n_copies * n_values * size_of::<T>())?;
    let mut values = Vec::new();
    values.try_reserve_exact(n_values).map_err(io::Error::other)?;
    let mut block = Vec::new();
    while member.by_ref().take(1 << 18).read_to_end(&mut block)? > 0 {
        for item in block.chunks_exact(size_of::<S>()) {
            values.push(convert(reader.read_one(item)?));
        }
        block.clear();
    }
    if values.len() != n_values {
        return Err(io::Error::other(wrong_size(values.len())));
    }
    if let (true, &[n_rows, n_columns]) = (is_fortran, &shape[..]) {
        let row = |i| (0..n_columns).map(move |j| j * n_rows + i);
        values = (0..n_rows).flat_map(row).map(|k| values[k]).collect();
    }
    Ok(Array { shape, values })
}
