//! Reading, simulating and splitting recordings, and the errors for invalid ones.

use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use helpers::train::train;
use helpers::*;
use npyz::{AutoSerialize, Order, WriterBuilder};
use tempfile::NamedTempFile;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

/// The simulated recording, in the folder that cargo has for the files of tests.
static SIMULATED: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    simulate_recording(folder.join("simulated_recording_seed1.npz"), 1).unwrap()
});

type Member = (&'static str, Vec<u8>);

fn array<T: AutoSerialize + Copy>(name: &'static str, values: &[T], shape: &[u64]) -> Member {
    ordered(name, values, shape, Order::C)
}

fn ordered<T: AutoSerialize + Copy>(
    name: &'static str,
    values: &[T],
    shape: &[u64],
    order: Order,
) -> Member {
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new().default_dtype().shape(shape).order(order);
    let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
    (name, bytes)
}

fn npz(members: &[Member]) -> NamedTempFile {
    let mut bytes = Cursor::new(Vec::new());
    let mut zip = zip::ZipWriter::new(&mut bytes);
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, member) in members {
        zip.start_file(format!("{name}.npy"), stored).unwrap();
        zip.write_all(member).unwrap();
    }
    zip.finish().unwrap();
    file(&bytes.into_inner())
}

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn stimuli() -> Member {
    array("stimuli", &[0.0, 10.0, 20.0], &[3])
}

fn resp() -> Member {
    array("resp", &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2])
}

/// 24 zero bytes after this header, which announces `size` bytes of it.
fn headed(version: u8, size: u32, header: &str) -> Member {
    let n_size_bytes = if version == 1 { 2 } else { 4 };
    let size = &size.to_le_bytes()[..n_size_bytes];
    ("resp", [b"\x93NUMPY", &[version, 0][..], size, header.as_bytes(), &[0; 24]].concat())
}

/// 24 zero bytes that are announced as an array of this type and shape.
fn zeros(descr: &str, shape: &str) -> Member {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}");
    headed(1, header.len() as u32, &header)
}

#[test]
fn both_orders_give_the_same_matrix_and_the_same_bins() {
    let fortran = ordered("resp", &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0], &[3, 2], Order::Fortran);
    for resp in [resp(), fortran] {
        let file = npz(&[resp, stimuli()]);
        let (resp, stimuli) = load_data(&file, 1).unwrap();
        assert_eq!(resp.to_vec2::<f32>().unwrap(), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
        assert_eq!(stimuli.to_vec2::<f32>().unwrap(), [[0.0], [10.0], [20.0]]);
        // bins = np.digitize(stimuli, np.arange(0, 360 + 15, 15)): 0 and 10 are in one bin
        let (resp, stimuli) = load_data(&file, 15).unwrap();
        assert_eq!(resp.to_vec2::<f32>().unwrap(), [[2.0, 3.0], [5.0, 6.0]]);
        assert_eq!(stimuli.to_vec2::<f32>().unwrap(), [[5.0], [20.0]]);
    }
}

#[test]
fn numbers_in_the_order_of_the_computer_are_read() {
    for descr in ["f4", "=f4"] {
        let (resp, _) = load_data(npz(&[zeros(descr, "(3, 2)"), stimuli()]), 1).unwrap();
        assert_eq!(resp.to_vec2::<f32>().unwrap(), [[0.0; 2]; 3]);
    }
}

/// The message of an error, which must be complete on its first line. A backtrace can follow.
fn load_error(path: impl AsRef<Path>, bin_width: f64) -> String {
    let error = load_data(path, bin_width).unwrap_err().to_string();
    let message = error.lines().next().unwrap();
    let advice = ["returns", "fix the program that wrote it", "leaves the recording as it is"];
    assert!(message.starts_with("load_data: "), "{error}");
    assert!(advice.iter().any(|end| message.ends_with(end)), "{error}");
    assert!(message.len() < 1000 && !message.contains(char::is_control), "{error:?}");
    message.to_owned()
}

#[test]
fn invalid_files_are_errors_of_one_line() {
    let whole = std::fs::read(npz(&[resp(), stimuli()])).unwrap();
    let mut damaged = whole.clone();
    let last = 6f32.to_le_bytes(); // the last response
    let i = whole.windows(4).position(|bytes| bytes == last).unwrap();
    damaged[i] ^= 0xff;
    // The zip's directory has a member's size 24 bytes after the signature of its entry.
    let with_size = |members: &[Member], size: u32| {
        let mut bytes = std::fs::read(npz(members)).unwrap();
        let i = bytes.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        bytes[i + 24..i + 28].copy_from_slice(&size.to_le_bytes());
        file(&bytes)
    };
    let wide = zeros("<f4", "(3, 100)");
    let wide_size = wide.1.len() as u32 - 24 + 4 * 300; // as if it had all its numbers
    let cases = [
        (file(b"not a zip"), "as a .npz file (invalid Zip archive"),
        (file(&whole[..whole.len() / 2]), "as a .npz file (invalid Zip archive"),
        (file(&damaged), "got Invalid checksum"),
        (with_size(&[resp(), stimuli()], u32::MAX - 1), "got a size above what the file can hold"),
        (with_size(&[resp(), stimuli()], 200), "got 18 values of type '<f4' for shape [3, 2]"),
        (with_size(&[wide, stimuli()], wide_size), "for shape [3, 100]"),
    ];
    for (path, expected) in cases {
        let error = load_error(&path, 1.0);
        assert!(error.contains(expected), "expected {expected:?} in {error}");
    }
    for path in ["no/such.npz", "/", "/dev/null", "/dev/zero", "line\nand\x1b[31mred"] {
        let error = load_error(path, 1.0);
        assert!(error.contains("cannot open"), "{error}");
    }
}

/// The header announces 2^40 numbers, the file has three. A gap before the zip, which takes no space
/// on the disk, makes the file as long as one with so many numbers. A member of that size needs an
/// extra field in the zip's directory.
#[cfg(target_os = "linux")] // other systems do not say how much memory is free
#[test]
fn more_numbers_than_fit_into_the_memory_are_an_error() {
    let n: u64 = 1 << 40;
    let (_, member) = zeros("|u1", &format!("({n},)"));
    let size = (member.len() as u64 - 24 + n).to_le_bytes();
    let mut zip = std::fs::read(npz(&[("stimuli", member)])).unwrap();
    let entry = zip.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    zip[entry + 24..entry + 28].fill(0xff);
    zip[entry + 30] = 12;
    let name_end = entry + 46 + "stimuli.npy".len();
    zip.splice(name_end..name_end, [&[1, 0, 8, 0], &size[..]].concat());
    let end = zip.len() - 22;
    zip[end + 12] += 12;

    let mut file = NamedTempFile::new().unwrap();
    file.as_file().set_len(n / 1000).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(&zip).unwrap();
    let error = load_error(&file, 1.0);
    assert!(error.contains("got more numbers than fit into the memory that is free"), "{error}");
}

#[test]
fn invalid_arrays_are_errors_of_one_line() {
    let mut cut = resp();
    cut.1.truncate(cut.1.len() - 4);
    let bomb = [resp().1, vec![0; 20_000_000]].concat();
    let invalid_resp = [
        (headed(1, 20, &"[".repeat(20)), "got the header"),
        (headed(1, 30, &"{".repeat(30)), "got the header"),
        (headed(1, 40_000, &"[".repeat(40_000)), "got a header of"),
        (headed(1, 60_000, &"9".repeat(60_000)), "got a header of"),
        (headed(2, u32::MAX, "{'descr': '<f4', "), "got a header of"),
        (headed(1, 10_001, &" ".repeat(10_001)), "got a header of"),
        (headed(1, 40, "{'descr': [('a\n\x1b[31m\u{9b}', '<f4')], }"), "got the header"),
        (zeros("<f4", "(3, 9)"), "got 6 values of type '<f4' for shape [3, 9]"),
        (zeros("<f4", "(1099511627776, 16777216)"), "for shape [1099511627776, 16777216]"),
        (zeros("<f4", "(4294967296, 4294967296)"), "for shape [4294967296, 4294967296]"),
        (zeros("<f4", "(-3, -2)"), "'shape': (-3, -2)"),
        (zeros("<f4", "(3.0, 2)"), "'shape': (3.0, 2)"),
        (zeros("<f4", "(18446744073709551616,)"), "'shape': (18446744073709551616,)"),
        (cut, "got 5 values of type '<f4' for shape [3, 2]"),
        (("resp", bomb), "got 5000006 values of type '<f4' for shape [3, 2]"),
        (("resp", b"text".to_vec()), "got something else than NumPy writes"),
        (
            array("resp", &[true; 3], &[3, 1]),
            "expected a complete array of numbers, got type '|b1'",
        ),
        (
            array("resp", &[1f32; 3], &[3]),
            "expected shape (3, n_neurons), a row for each entry of stimuli, both at least 1, \
             got [3]",
        ),
        (array("resp", &[1f32; 4], &[2, 2]), "expected shape (3, n_neurons), a row for each entry"),
        (array::<f32>("resp", &[], &[3, 0]), "both at least 1, got [3, 0]"),
        (array("resp", &[1f32, 2.0, f32::NAN], &[3, 1]), "got NaN at position [2, 0]"),
        (
            array("resp", &[1.0, 1e300, 2.0], &[3, 1]),
            "expected finite numbers in the range of f32, got inf at position [1, 0]",
        ),
    ];
    let mut cases = vec![
        (vec![stimuli()], "array 'resp'"),
        (vec![resp()], "array 'stimuli'"),
        (
            vec![("a\n\x1bb", Vec::new()), resp()],
            r#"a member of that name, got only ["a\n\u{1b}b.npy", "resp.npy"]"#,
        ),
        (
            vec![array("resp", &[1f32; 0], &[0, 1]), array("stimuli", &[0.0; 0], &[0])],
            "both at least 1, got [0, 1]",
        ),
        (
            vec![resp(), array("stimuli", &[0.0; 6], &[3, 2])],
            "expected shape (n_stimuli,) or (n_stimuli, 1), got [3, 2]",
        ),
        (
            vec![resp(), array("stimuli", &[0.0, f64::INFINITY, 2.0], &[3])],
            "expected orientations from 0 to 360 degrees, got inf at position 1",
        ),
        (
            vec![resp(), array("stimuli", &[0.0, 360.0, 361.0], &[3])],
            "expected orientations from 0 to 360 degrees, got 361 at position 2",
        ),
        (vec![resp(), array("stimuli", &[0i8, -1, 0], &[3])], "got -1 at position 1"),
    ];
    cases.extend(invalid_resp.map(|(resp, expected)| (vec![resp, stimuli()], expected)));
    for (members, expected) in cases {
        for bin_width in [1.0, 15.0] {
            let error = load_error(npz(&members), bin_width);
            assert!(error.contains(expected), "expected {expected:?} in {error}");
        }
    }
}

#[test]
fn bin_width_that_is_not_above_0_is_an_error() {
    for bin_width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = load_error(npz(&[resp(), stimuli()]), bin_width);
        assert!(error.contains("expected a bin_width above 0"), "{error}");
    }
}

#[test]
fn a_simulated_recording_is_marked_as_one() {
    assert_eq!(source(&*SIMULATED).unwrap(), Source::Simulated { seed: 1 });
    assert_eq!(source(npz(&[resp(), stimuli()])).unwrap(), Source::Recording);
}

#[test]
fn the_simulation_depends_on_the_seed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.npz");
    let simulate = |seed| std::fs::read(simulate_recording(&path, seed).unwrap()).unwrap();
    let first = std::fs::read(&*SIMULATED).unwrap();
    assert!(simulate(1) == first);
    assert!(simulate(2) != first);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

/// The value that a fraction of the values is below.
fn quantile(mut values: Vec<f32>, fraction: f64) -> f32 {
    values.sort_by(f32::total_cmp);
    values[(values.len() as f64 * fraction) as usize]
}

/// Compared with statistics of the 100 neurons in the published heat map, whose values are clipped.
#[test]
fn the_simulation_resembles_the_recording() -> Result<()> {
    let (resp, stimuli) = load_data(&*SIMULATED, 1)?;
    assert_eq!(resp.dims(), [360, 23_589]);
    assert_eq!(stimuli.values()?, (0..360).values()?);

    // The correlation of the responses to orientations that are `lag` degrees apart.
    let centered = resp.broadcast_sub(&resp.mean_keepdim(1)?)?;
    let rows = centered.broadcast_div(&centered.sqr()?.sum_keepdim(1)?.sqrt()?)?;
    let published = [(1, 0.586), (5, 0.538), (20, 0.261), (45, -0.042), (90, -0.124), (180, 0.022)];
    for (lag, expected) in published {
        let turned = Tensor::cat(&[rows.narrow(0, lag, 360 - lag)?, rows.narrow(0, 0, lag)?], 0)?;
        let got = item(&(&rows * turned)?.sum(1)?.mean_all()?)?;
        assert!((got - expected).abs() < 0.15, "lag {lag}: {got:.3}, published {expected}");
    }

    let some = resp.narrow(1, 0, 2000)?;
    let sd = quantile(some.var(0)?.sqrt()?.to_vec1()?, 0.5);
    assert!((0.22..0.40).contains(&sd), "median SD {sd}, published 0.322");
    let differences = (some.narrow(0, 1, 359)? - some.narrow(0, 0, 359)?)?;
    let noise = quantile((differences.var(0)? / 2.0)?.sqrt()?.to_vec1()?, 0.5);
    assert!((0.19..0.28).contains(&noise), "median noise {noise}, published 0.238");
    Ok(())
}

/// Tuning curves, smoothed by a Gaussian of 5 degrees: the width of the main bump, and the bump
/// opposite to it. Published medians: 26 degrees, and 0.13 of the main bump.
#[test]
fn simulated_neurons_are_tuned_as_recorded_ones() -> Result<()> {
    let (resp, _) = load_data(&*SIMULATED, 1)?;
    let resp = resp.narrow(1, 0, 1000)?;
    // smooth() does not close the circle, so 20 degrees are added at both ends and removed again.
    let wide = Tensor::cat(&[&resp.narrow(0, 340, 20)?, &resp, &resp.narrow(0, 0, 20)?], 0)?;
    let curves = smooth(&wide, 5.0)?.narrow(0, 20, 360)?.t()?.to_vec2::<f32>()?;
    let (mut widths, mut opposites) = (Vec::new(), Vec::new());
    for curve in curves {
        let median = quantile(curve.clone(), 0.5);
        let pref = argsort(&curve)?[359];
        let peak = curve[pref];
        let is_above = |ori: &usize| curve[ori % 360] > (peak + median) / 2.0;
        let right = (pref..pref + 180).take_while(is_above).count();
        let left = (pref + 180..pref + 360).rev().take_while(is_above).count();
        widths.push((left + right) as f32);
        opposites.push((curve[(pref + 180) % 360] - median) / (peak - median));
    }
    let width = quantile(widths, 0.5);
    assert!((20.0..34.0).contains(&width), "median width {width}");
    let [median, high] = [0.5, 0.9].map(|fraction| quantile(opposites.clone(), fraction));
    assert!((0.03..0.25).contains(&median), "median opposite {median}");
    assert!((0.3..0.9).contains(&high), "90 % opposite {high}");
    Ok(())
}

#[test]
fn split_and_draws_are_those_of_the_original() -> Result<()> {
    let (resp_all, stimuli_all) = load_data(&*SIMULATED, 1)?;
    let Split { resp_train, stimuli_train, resp_test, stimuli_test } =
        split(&mut TorchRng::manual_seed(4), &resp_all, &stimuli_all)?;

    // The original's training set begins with these orientations.
    assert_eq!((resp_train.dims(), resp_test.dims()), (&[216, 23_589][..], &[144, 23_589][..]));
    assert_eq!(stimuli_train.i(..6)?.values()?, [130.0, 137.0, 169.0, 83.0, 309.0, 186.0]);
    assert_eq!(stimuli_test.i(141..)?.values()?, [203.0, 82.0, 81.0]);
    // Each row goes with its orientation.
    let all = resp_all.to_vec2::<f32>()?;
    assert_eq!(resp_train.i(0)?.to_vec1::<f32>()?, all[130]);
    assert_eq!(resp_test.i(143)?.to_vec1::<f32>()?, all[81]);

    let (r, ori) = get_data(&mut NumpyRng::seed(1), 1, &resp_train, &stimuli_train)?;
    assert_eq!(format!("{:.2}", item(&ori)?), "139.00");
    assert_eq!(r.to_vec2::<f32>()?, [all[139].clone()]);
    Ok(())
}

/// Parts of a tensor and transposed ones are not contiguous in memory.
#[test]
fn parts_of_the_neurons_give_what_copies_give() -> Result<()> {
    let wide = Tensor::from_vec(TorchRng::manual_seed(1).randn(24 * 9), (24, 9), &Device::Cpu)?;
    let shuffled: Vec<f32> = (0..24).map(|i| (i * 7 % 24) as f32 * 15.0).collect();
    let stimuli = Tensor::from_vec(shuffled, (24, 1), &Device::Cpu)?;
    let stimuli_of_two = Tensor::cat(&[&stimuli, &stimuli], 1)?;
    let parts = [
        (wide.narrow(1, 2, 5)?, stimuli_of_two.narrow(1, 1, 1)?),
        (wide.i((.., 2..))?, stimuli_of_two.i((.., 1..))?),
        (wide.t()?.contiguous()?.t()?, stimuli.t()?.contiguous()?.t()?),
    ];
    type Case = (&'static str, fn(&Tensor, &Tensor) -> Result<Tensor>);
    fn net(resp: &Tensor) -> Layers {
        Layers::new(&mut TorchRng::manual_seed(2), &[resp.dims()[1], 40, 1]).unwrap()
    }
    let cases: [Case; 12] = [
        ("rows", |r, _| rows(r, &[3, 1])),
        ("split", |r, ori| Ok(split(&mut TorchRng::manual_seed(4), r, ori)?.resp_test)),
        ("get_data", |r, ori| Ok(get_data(&mut NumpyRng::seed(1), 3, r, ori)?.0)),
        ("smooth", |r, _| smooth(r, 2.0)),
        ("preferred_orientations", |r, ori| preferred_orientations(r, ori, 2.0)),
        ("LinearRegression", |r, ori| LinearRegression::fit(r, ori, 1.0)?.decode(r)),
        ("PopulationVector", |r, ori| PopulationVector::fit(r, ori)?.decode(r)),
        ("MatchedFilter", |r, ori| MatchedFilter::fit(r, ori)?.decode(r)),
        ("circular_error", |r, ori| {
            Tensor::new(circular_error(&r.i((.., ..1))?, ori)?, r.device())
        }),
        ("stimulus_class", |r, ori| stimulus_class(&(ori * 0.9)?, r.dims()[1])),
        ("train", |r, ori| Tensor::new(train(&net(r), loss::mse, r, ori, 3, 1e-4)?, r.device())),
        ("plots", |r, ori| {
            let out = net(r).forward(r)?;
            let figures = [
                plot_data_matrix(r)?,
                plot_weights(r)?,
                plot_tuning_curves(r, ori, &[1, 0])?,
                plot_decoded(&out, ori)?,
                plot_decoding_error(&out, ori)?,
            ];
            let svgs: Vec<String> = figures.iter().map(Figure::svg).collect::<Result<_>>()?;
            Tensor::new(svgs.concat().into_bytes(), r.device())
        }),
    ];
    for (resp, stimuli) in &parts {
        assert!(!resp.is_contiguous());
        let copies = (resp.force_contiguous()?, stimuli.force_contiguous()?);
        for (name, case) in &cases {
            let got = case(resp, stimuli).unwrap_or_else(|err| panic!("{name}: {err}"));
            let expected = case(&copies.0, &copies.1)?;
            let mut pairs = got.values()?.into_iter().zip(expected.values()?);
            assert!(pairs.all(|(a, b)| (a - b).abs() < 1e-3), "{name}");
        }
    }
    Ok(())
}

#[test]
fn other_types_and_shapes_are_errors_that_say_what_to_do() {
    let resp = Tensor::from_vec(TorchRng::manual_seed(1).rand(24), (8, 3), &Device::Cpu).unwrap();
    let stimuli = (resp.narrow(1, 0, 1).unwrap() * 360.0).unwrap();
    let f64 = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
    let flat = stimuli.flatten_all().unwrap();
    let one = resp.i(0).unwrap();
    let fewer = stimuli.i(1..).unwrap();
    let mismatch = "got [8, 3] and [7, 1]: pass a row of both for each stimulus";
    let rng = || TorchRng::manual_seed(4);
    let net = || Layers::new(&mut TorchRng::manual_seed(2), &[3, 1]).unwrap();
    let train = |ori: &Tensor| train(&net(), loss::mse, &resp, ori, 1, 0.1);
    let test =
        |ori: &Tensor| train_and_test(&net(), loss::mse, (&resp, &stimuli), (&resp, ori), 1, 0.1);
    let regression = LinearRegression::fit(&resp, &stimuli, 1.0).unwrap();
    let filter = MatchedFilter::fit(&resp, &stimuli).unwrap();
    for (function, advice, error) in [
        ("split", mismatch, split(&mut rng(), &resp, &fewer).err()),
        ("preferred_orientations", mismatch, preferred_orientations(&resp, &fewer, 5.0).err()),
        ("LinearRegression::fit", mismatch, LinearRegression::fit(&resp, &fewer, 0.0).err()),
        ("preferred_orientations", mismatch, PopulationVector::fit(&resp, &fewer).err()),
        ("MatchedFilter::fit", mismatch, MatchedFilter::fit(&resp, &fewer).err()),
        ("split", "unsqueeze(1)", split(&mut rng(), &resp, &flat).err()),
        ("get_data", "F32", get_data(&mut NumpyRng::seed(1), 1, &f64(&resp), &stimuli).err()),
        ("preferred_orientations", "F32", preferred_orientations(&resp, &f64(&stimuli), 1.0).err()),
        ("LinearRegression::fit", "unsqueeze(1)", LinearRegression::fit(&resp, &flat, 1.0).err()),
        ("LinearRegression::decode", "unsqueeze(0)", regression.decode(&one).err()),
        ("MatchedFilter::decode", "F32", filter.decode(&f64(&resp)).err()),
        ("compare_decoders", "F32", compare_decoders(&resp, &stimuli, &f64(&resp), &stimuli).err()),
        ("smooth", "unsqueeze(1)", smooth(&one, 1.0).err()),
        ("circular_error", "unsqueeze(1)", circular_error(&stimuli, &flat).err()),
        ("Linear::forward", "F32", net().forward(&f64(&resp)).err()),
        ("train", "unsqueeze(1)", train(&flat).err()),
        ("train", "F32", train(&f64(&stimuli)).err()),
        ("train_and_test", "unsqueeze(1)", test(&flat).err()),
    ] {
        let error = error.expect(function).to_string();
        let message = error.lines().next().unwrap();
        assert!(message.starts_with(&format!("{function}: ")), "{message}");
        assert!(message.contains(advice), "{message}");
    }
}
