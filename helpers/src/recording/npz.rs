//! Reading and writing NumPy's `.npz` format: a zip archive of `.npy` files, one per array.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use candle_core::{Result, bail};
use half::f16;
use npyz::{AutoSerialize, Deserialize, NpyFile, NpyHeader, Order, WriterBuilder};
use zip::read::ZipFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{absolute, one_line, open_file};

/// Bytes of the longest header that is read. A matrix needs 128. npyz reads nested brackets by
/// recursion, which a longer header could use to overflow the stack.
const MAX_HEADER: u64 = 1024;

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
                path.display(),
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
        let array = member
            .map_err(io::Error::from)
            .and_then(|member| read_array(member, from_f64));
        array.or_else(|err| self.invalid(name, "a complete array of numbers", &one_line(err)))
    }

    /// The error for an array that is not as expected.
    pub fn invalid<T>(&self, name: &str, expected: &str, got: &str) -> Result<T> {
        bail!(
            "{}: array '{name}' of {}: expected {expected}, got {got}: delete the file and \
             download it again, or fix the program that wrote it",
            self.caller,
            self.path.display()
        )
    }
}

fn read_array<T: Copy>(
    mut member: ZipFile<impl Read>,
    from_f64: impl Fn(f64) -> T,
) -> io::Result<Array<T>> {
    let mut bytes = Vec::new();
    member.read_to_end_authenticated(&mut bytes, false)?; // compares the checksum, too
    let mut data = &bytes[..];
    let header = NpyHeader::from_reader((&mut data).take(MAX_HEADER))?;
    let (descr, order) = (header.dtype().descr(), header.order());
    let shape: Vec<usize> = header.shape().iter().map(|&n| n as usize).collect();

    // A header can announce any shape, so compare it with the size before allocating memory.
    let item_size = header.dtype().num_bytes().unwrap_or(0);
    let announced = shape.iter().try_fold(item_size, |n, &d| n.checked_mul(d));
    if announced != Some(data.len()) {
        let n_bytes = data.len();
        return Err(io::Error::other(format!(
            "{n_bytes} bytes for shape {shape:?} and type {descr}"
        )));
    }
    let npy = NpyFile::with_header(header, data);
    let mut values = match descr.trim_matches(['\'', '<', '>', '|']) {
        "f2" => convert(npy, |x| from_f64(f16::to_f64(x))),
        "f4" => convert(npy, |x: f32| from_f64(x.into())),
        "f8" => convert(npy, &from_f64),
        "i1" => convert(npy, |x: i8| from_f64(x.into())),
        "i2" => convert(npy, |x: i16| from_f64(x.into())),
        "i4" => convert(npy, |x: i32| from_f64(x.into())),
        "i8" => convert(npy, |x: i64| from_f64(x as f64)),
        "u1" => convert(npy, |x: u8| from_f64(x.into())),
        "u2" => convert(npy, |x: u16| from_f64(x.into())),
        "u4" => convert(npy, |x: u32| from_f64(x.into())),
        "u8" => convert(npy, |x: u64| from_f64(x as f64)),
        _ => Err(io::Error::other(format!("type {descr}"))),
    }?;
    if let (Order::Fortran, &[n_rows, n_columns]) = (order, &shape[..]) {
        let row = |i| (0..n_columns).map(move |j| j * n_rows + i);
        values = (0..n_rows).flat_map(row).map(|k| values[k]).collect();
    }
    Ok(Array { shape, values })
}

fn convert<S, T>(npy: NpyFile<&[u8]>, convert: impl Fn(S) -> T) -> io::Result<Vec<T>>
where
    S: Deserialize,
{
    let mut values = Vec::with_capacity(npy.len() as usize);
    for value in npy.data().map_err(io::Error::other)? {
        values.push(convert(value?));
    }
    Ok(values)
}

/// Writes an array as NumPy does, without compression.
pub fn write_array<T: AutoSerialize + Copy>(
    zip: &mut ZipWriter<impl Write + Seek>,
    name: &str,
    values: &[T],
    shape: &[u64],
) -> io::Result<()> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file(format!("{name}.npy"), stored)?;
    // npyz writes value by value, and zip computes the checksum of each piece it gets.
    let mut buffer = BufWriter::with_capacity(1 << 16, zip);
    let options = npyz::WriteOptions::new().default_dtype().shape(shape);
    let mut npy = options.writer(&mut buffer).begin_nd()?;
    npy.extend(values.iter().copied())?;
    npy.finish()?;
    buffer.flush()
}
