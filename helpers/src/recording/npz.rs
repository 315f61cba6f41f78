//! Reading and writing NumPy's `.npz`: a zip of `.npy` members.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use npyz::{NpyFile, Order, WriterBuilder};
use rayon::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};
use zune_inflate::{DeflateDecoder, DeflateOptions};

use super::{fail, whole};
use crate::Result;

/// The member that marks a file as simulated; it holds the seed.
const SIMULATED: &str = "simulated";

/// An open `.npz` file.
pub struct Npz {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
    caller: &'static str,
}

impl Npz {
    /// Opens a file; errors begin with the caller's name.
    pub fn open(caller: &'static str, path: &Path) -> Result<Self> {
        let path = whole(path);
        let file = match File::open(&path) {
            Ok(file) => BufReader::new(file),
            Err(why) => {
                return fail(format!(
                    "{caller}: cannot open {} ({why}): give the path of a .npz file, \
                     such as fetch_recording() or simulate_recording(1) returns",
                    path.display()
                ));
            }
        };
        match ZipArchive::new(file) {
            Ok(zip) => Ok(Self { path, zip, caller }),
            Err(why) => fail(format!(
                "{caller}: {} is not a whole .npz file: expected a zip archive, got {why}: \
                 delete it and fetch it again",
                path.display()
            )),
        }
    }

    /// The seed in a simulated file, `None` in any other.
    pub fn seed_of_simulation(&mut self) -> Result<Option<u32>> {
        let Some(bytes) = self.member(SIMULATED)? else {
            return Ok(None);
        };
        match NpyFile::new(&bytes[..]).and_then(NpyFile::into_vec::<u32>) {
            Ok(seed) if seed.len() == 1 => Ok(Some(seed[0])),
            _ => self.broken(SIMULATED, "one u32, the seed", "something else"),
        }
    }

    /// An array as it is stored. Its numbers are not looked at yet.
    pub fn array(&mut self, name: &'static str) -> Result<Array> {
        let Some(bytes) = self.member(name)? else {
            let names = self.zip.file_names().map(|name| Ok(name?.into_owned()));
            let names: Vec<String> =
                names.collect::<zip::result::ZipResult<_>>().unwrap_or_default();
            let got = format!("only {}", names.join(", "));
            return self.broken(name, "a member of that name", &got);
        };
        let mut reader = Cursor::new(&bytes[..]);
        let npy = match NpyFile::new(&mut reader) {
            Ok(npy) => npy,
            Err(why) => return self.broken(name, "an array in NumPy's .npy format", &line(&why)),
        };
        let (shape, order) = (npy.shape().to_vec(), npy.order());
        let shape: Vec<usize> = shape.into_iter().map(|n| n as usize).collect();
        let descr = npy.dtype().descr();
        drop(npy);
        let (item_size, swapped) = match descr.trim_matches('\'') {
            "<f4" => (4, false),
            "<f8" => (8, false),
            ">f4" => (4, true),
            ">f8" => (8, true),
            _ => return self.broken(name, "numbers of type f32 or f64", &descr),
        };

        // Held against the file before any memory is asked for: a header can claim anything.
        let start = reader.position() as usize;
        let n_values = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if n_values.and_then(|n| n.checked_mul(item_size)) != Some(bytes.len() - start) {
            let expected = format!("{shape:?} values of {item_size} bytes, as its header says");
            return self.broken(name, &expected, &format!("{} bytes", bytes.len() - start));
        }
        let columns = match (order, &shape[..]) {
            (Order::Fortran, &[_, n_columns]) => n_columns,
            _ => 1, // the order is the same
        };
        Ok(Array { name, shape, bytes, start, item_size, swapped, columns })
    }

    /// The numbers of an array in C order, as f32 or f64, which must be finite as f32.
    pub fn numbers<T: Number>(&self, array: &Array) -> Result<Vec<T>> {
        let data = &array.bytes[array.start..];
        let columns = array.columns;
        let values = match (array.item_size, array.swapped) {
            (4, false) => decode(data, |x| T::from_f32(f32::from_le_bytes(x)), columns),
            (4, true) => decode(data, |x| T::from_f32(f32::from_be_bytes(x)), columns),
            (_, false) => decode(data, |x| T::from_f64(f64::from_le_bytes(x)), columns),
            (_, true) => decode(data, |x| T::from_f64(f64::from_be_bytes(x)), columns),
        };
        match first(&values, |x| !x.into_f32().is_finite()) {
            None => Ok(values),
            Some((i, value)) => {
                let got = format!("{value} at position {i}");
                self.broken(array.name, "finite numbers of f32's range", &got)
            }
        }
    }

    pub fn wrong_shape<T>(&self, name: &str, expected: &str, got: &[usize]) -> Result<T> {
        self.broken(name, &format!("shape {expected}"), &format!("{got:?}"))
    }

    fn broken<T>(&self, name: &str, expected: &str, got: &str) -> Result<T> {
        fail(format!(
            "{}: array '{name}' of {}: expected {expected}, got {got}: \
             delete the file and fetch it again, or mend what wrote it",
            self.caller,
            self.path.display()
        ))
    }

    /// The bytes of a member, unpacked and checked against the archive's checksum.
    fn member(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(index) = self.zip.index_for_name(&format!("{name}.npy")) else {
            return Ok(None);
        };
        match unpack(&mut self.zip, index) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(why) => self.broken(name, "a whole member", &line(&why)),
        }
    }
}

/// The bytes of a member, checked against the archive's checksum.
fn unpack(zip: &mut ZipArchive<BufReader<File>>, index: usize) -> io::Result<Vec<u8>> {
    let mut entry = zip.by_index_raw(index)?;
    let (compression, size, crc) = (entry.compression(), entry.size(), entry.crc32());
    // What it says of its size is believed as far as the packed size allows.
    let size = size.min(entry.compressed_size().saturating_mul(1100)) as usize;
    let mut bytes = Vec::with_capacity(entry.compressed_size().min(1 << 30) as usize);
    entry.read_to_end(&mut bytes)?;
    let bytes = match compression {
        CompressionMethod::Stored => bytes,
        CompressionMethod::Deflated => {
            let options = DeflateOptions::default().set_size_hint(size).set_limit(size);
            let unpacked = DeflateDecoder::new_with_options(&bytes, options).decode_deflate();
            unpacked.map_err(|why| io::Error::other(format!("{:?}", why.error)))?
        }
        other => return Err(io::Error::other(format!("compressed by {other}"))),
    };
    match crc32fast::hash(&bytes) {
        got if got == crc => Ok(bytes),
        got => Err(io::Error::other(format!("checksum {got:08x} where {crc:08x} is noted"))),
    }
}

/// An array of f32 or f64 as it is stored.
pub struct Array {
    name: &'static str,
    pub shape: Vec<usize>,
    bytes: Vec<u8>,
    start: usize, // of the numbers among the bytes
    item_size: usize,
    swapped: bool,  // stored with the most significant byte first
    columns: usize, // of a matrix stored column by column, else 1
}

impl Array {
    /// The numbers as bytes, if they are stored in C order and little endian, `SIZE` bytes each.
    pub fn plain<const SIZE: usize>(&self) -> Option<&[[u8; SIZE]]> {
        let plain = self.item_size == SIZE && !self.swapped && self.columns == 1;
        plain.then(|| self.bytes[self.start..].as_chunks().0)
    }
}

/// f32 or f64.
pub trait Number: Copy + Default + Send + Sync + std::fmt::Display {
    fn from_f32(x: f32) -> Self;
    fn from_f64(x: f64) -> Self;
    fn into_f32(self) -> f32;
}

impl Number for f32 {
    fn from_f32(x: f32) -> Self {
        x
    }
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    fn into_f32(self) -> f32 {
        self
    }
}

impl Number for f64 {
    fn from_f32(x: f32) -> Self {
        x.into()
    }
    fn from_f64(x: f64) -> Self {
        x
    }
    fn into_f32(self) -> f32 {
        self as f32
    }
}

/// Numbers that a thread takes at a time.
const PART: usize = 1 << 15;

/// The first value that is odd. As a rule there is none, so each part is gone through to its end,
/// which processors do for many numbers at once.
fn first<T: Copy + Sync>(values: &[T], odd: impl Fn(T) -> bool + Sync) -> Option<(usize, T)> {
    let some = |part: &[T]| part.iter().fold(false, |some, &x| some | odd(x));
    let part = values.par_chunks(PART).position_first(some)?;
    let i = (part * PART..values.len()).find(|&i| odd(values[i]))?;
    Some((i, values[i]))
}

/// The numbers that bytes stand for, `SIZE` bytes each. Of a matrix that is stored column by column
/// `columns` says how many, and its numbers are put row by row.
fn decode<T: Copy + Default + Send + Sync, const SIZE: usize>(
    bytes: &[u8],
    number: impl Fn([u8; SIZE]) -> T + Sync,
    columns: usize,
) -> Vec<T> {
    let (items, _) = bytes.as_chunks::<SIZE>();
    if columns == 1 {
        return converted(items, number);
    }
    let mut values = vec![T::default(); items.len()];
    let n_rows = items.len() / columns.max(1);
    let rows = values.par_chunks_mut(columns.max(1)).enumerate();
    rows.for_each(|(i, row)| {
        for (j, value) in row.iter_mut().enumerate() {
            *value = number(items[j * n_rows + i]);
        }
    });
    values
}

/// All of the items, each converted, in parallel.
fn converted<A: Copy + Sync, B: Send>(items: &[A], convert: impl Fn(A) -> B + Sync) -> Vec<B> {
    let mut values = Vec::with_capacity(items.len());
    let places = &mut values.spare_capacity_mut()[..items.len()];
    let parts = places.par_chunks_mut(PART).zip(items.par_chunks(PART));
    parts.for_each(|(places, items)| {
        for (place, item) in places.iter_mut().zip(items) {
            place.write(convert(*item));
        }
    });
    // SAFETY: the loop has written to each of these places.
    unsafe { values.set_len(items.len()) };
    values
}

/// What an error says, on one line.
fn line(why: &io::Error) -> String {
    why.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes a recording as NumPy would: `resp`, `(n_stimuli, n_neurons)`, and `stimuli`,
/// `(n_stimuli,)`, stored without compression, and the mark that says it is simulated.
pub fn write_simulated(path: &Path, resp: &[f32], stimuli: &[f64], seed: u32) -> io::Result<()> {
    let n_stimuli = stimuli.len() as u64;
    let n_neurons = resp.len() as u64 / n_stimuli;
    let mut zip = ZipWriter::new(BufWriter::new(File::create(path)?));
    write_member(&mut zip, "resp", resp, &[n_stimuli, n_neurons])?;
    write_member(&mut zip, "stimuli", stimuli, &[n_stimuli])?;
    write_member(&mut zip, SIMULATED, &[seed], &[1])?;
    zip.finish()?.flush()
}

fn write_member<T: npyz::AutoSerialize + Copy>(
    zip: &mut ZipWriter<BufWriter<File>>,
    name: &str,
    values: &[T],
    shape: &[u64],
) -> io::Result<()> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file(format!("{name}.npy"), stored)?;
    // A buffer between the two: npyz writes number by number, zip checksums each piece it gets.
    let mut buffer = BufWriter::with_capacity(1 << 16, zip);
    let mut npy =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut buffer).begin_nd()?;
    npy.extend(values.iter().copied())?;
    npy.finish()?;
    buffer.flush()
}
