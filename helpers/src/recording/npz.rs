//! Reading and writing NumPy's `.npz` format: a zip archive of `.npy` files, one per array.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use candle_core::{Result, bail};
use half::f16;
use npyz::{AutoSerialize, DType, Deserialize, NpyHeader, Order, TypeRead, WriterBuilder};
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
        let array = member.map_err(io::Error::from).and_then(|member| read_array(member, from_f64));
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
    let header = NpyHeader::from_reader(member.by_ref().take(MAX_HEADER))?;
    let (dtype, descr) = (header.dtype(), header.dtype().descr());
    let mut values = match descr.trim_matches(['\'', '<', '>', '|']) {
        "f2" => read_values(member, &dtype, |x| from_f64(f16::to_f64(x))),
        "f4" => read_values(member, &dtype, |x: f32| from_f64(x.into())),
        "f8" => read_values(member, &dtype, &from_f64),
        "i1" => read_values(member, &dtype, |x: i8| from_f64(x.into())),
        "i2" => read_values(member, &dtype, |x: i16| from_f64(x.into())),
        "i4" => read_values(member, &dtype, |x: i32| from_f64(x.into())),
        "i8" => read_values(member, &dtype, |x: i64| from_f64(x as f64)),
        "u1" => read_values(member, &dtype, |x: u8| from_f64(x.into())),
        "u2" => read_values(member, &dtype, |x: u16| from_f64(x.into())),
        "u4" => read_values(member, &dtype, |x: u32| from_f64(x.into())),
        "u8" => read_values(member, &dtype, |x: u64| from_f64(x as f64)),
        _ => Err(io::Error::other(format!("type {descr}"))),
    }?;

    // The header can announce any shape.
    let shape: Vec<usize> = header.shape().iter().map(|&n| n as usize).collect();
    let n_values = values.len();
    if shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(n_values) {
        let got = format!("{n_values} values of type {descr} for shape {shape:?}");
        return Err(io::Error::other(got));
    }
    if let (Order::Fortran, &[n_rows, n_columns]) = (header.order(), &shape[..]) {
        let row = |i| (0..n_columns).map(move |j| j * n_rows + i);
        values = (0..n_rows).flat_map(row).map(|k| values[k]).collect();
    }
    Ok(Array { shape, values })
}

/// Reads in blocks that fit into the cache, to the end, where zip compares the checksum.
fn read_values<S: Deserialize, T>(
    mut member: ZipFile<impl Read>,
    dtype: &DType,
    convert: impl Fn(S) -> T,
) -> io::Result<Vec<T>> {
    let reader = S::reader(dtype).map_err(io::Error::other)?;
    let n_values = member.size() as usize / size_of::<S>();
    let mut values = Vec::new();
    values.try_reserve_exact(n_values).map_err(io::Error::other)?;
    let mut block = Vec::new();
    while member.by_ref().take(1 << 18).read_to_end(&mut block)? > 0 {
        for item in block.chunks_exact(size_of::<S>()) {
            values.push(convert(reader.read_one(item)?));
        }
        block.clear();
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
