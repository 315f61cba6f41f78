//! Compares figures with reference images, as closely as an eye does.
//!
//! `UPDATE_FIGURES=1 cargo test -p helpers --test figures` draws the references in
//! `helpers/tests/figures` again: look at them before you commit them.

use std::fs;
use std::path::Path;

use helpers::*;

/// Responses of 90 neurons that prefer all orientations, `(n_stimuli, 90)`.
fn responses(n_stimuli: usize) -> (Tensor, Tensor) {
    let ori = |i: usize| i as f32 * 360.0 / n_stimuli as f32;
    let mut rng = NumpyRng::seed(1);
    let noise = rng.choice_without_replacement(n_stimuli * 90, n_stimuli * 90);
    let response = |i: usize| {
        let (stimulus, neuron) = (i / 90, i % 90);
        let away = (ori(stimulus) - 4.0 * neuron as f32).to_radians();
        (4.0 * (away.cos() - 1.0)).exp() * (1.0 + neuron as f32 / 45.0)
            + 0.4 * (noise[i] as f32 / noise.len() as f32 - 0.5)
    };
    let resp: Vec<f32> = (0..n_stimuli * 90).map(response).collect();
    let stimuli: Vec<f32> = (0..n_stimuli).map(ori).collect();
    (
        Tensor::from_vec(resp, (n_stimuli, 90), &Device::Cpu).unwrap(),
        Tensor::from_vec(stimuli, (n_stimuli, 1), &Device::Cpu).unwrap(),
    )
}

fn figures() -> Result<Vec<(&'static str, Figure)>> {
    let (resp, stimuli) = responses(120);
    let simulated = Source::Simulated { seed: 1 };
    let loss: Vec<f32> = (0..50).map(|i| 44_700.0 * (-0.12 * i as f32).exp() + 150.0).collect();
    let test_loss: Vec<f32> = loss.iter().map(|x| x + 600.0).collect();
    let noise = resp.narrow(1, 0, 1)?;
    let decoded = ((stimuli.affine(0.9, 18.0)? + (&noise * 6.0)?)? - 4.0)?;
    let weights = resp.narrow(0, 0, 10)?.affine(0.01, -0.008)?;
    let gap = [1.0, 2.0, f64::NAN, 2.5, f64::INFINITY, 1.5];
    let classes: Vec<usize> = (0..100).map(|i| i % 10).collect();
    let predicted: Vec<usize> =
        (0..100).map(|i| (i % 10 + [0, 0, 0, 1, 9, 0, 5, 0][i % 8]) % 10).collect();
    let confusion = plot_confusion(&predicted, &classes, 10)?;
    let with_nan = Tensor::new(&[[0f32, 1.0, 2.0], [3.0, f32::NAN, 5.0]], &Device::Cpu)?;
    let tiny = axes("time (s)", "tiny and negative");
    let tiny = tiny.line("", &[1e-7, 3e-7, 5e-7], &[-3e-9, 2e-9, 1e-9])?;
    let huge = axes("constant", "huge").points("", &[5.0, 5.0], &[-2e12, 7e12])?;
    Ok(vec![
        (
            "recording",
            figure(1, 2)
                .with(plot_matrix(&resp.t()?, "stimulus", "neuron", "normalized neural response")?)
                .with(plot_tuning_curves(&resp, &stimuli, &[5, 40, 70])?)
                .title("90 neurons in response to 120 stimuli")
                .of(simulated),
        ),
        ("grating", plot_grating(30.0).title("30°")),
        ("train_loss", plot_train_loss(&loss)?),
        ("train_and_test_loss", plot_train_and_test_loss(&loss, &test_loss)?.log_scale()),
        ("decoded", plot_decoded(&decoded, &stimuli)?.of(simulated)),
        ("decoding_error", plot_decoding_error(&decoded, &stimuli)?),
        ("weights", plot_weights(&weights)?),
        ("confusion", confusion.clone()),
        ("network", plot_network()),
        ("gradient_descent", plot_gradient_descent()),
        ("nan", plot_data_matrix(&with_nan)?.title("one cell is NaN")),
        (
            "small_multiples",
            figure(2, 3)
                .with(plot_train_loss(&loss)?)
                .with(plot_weights(&weights)?.title("W_in"))
                .with(confusion)
                .with(tiny.title("10⁻⁷ seconds"))
                .with(huge)
                .with(axes("x", "with gaps").line("gaps", &(0..6), &gap)?)
                .title("small multiples"),
        ),
    ])
}

/// RGB pixels.
struct Image {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// The last frame of a PNG file.
fn read(file: &[u8]) -> Image {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let frames = reader.info().animation_control().map_or(1, |all| all.num_frames);
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    for _ in 0..frames {
        reader.next_frame(&mut pixels).unwrap();
    }
    let (width, height) = reader.info().size();
    Image { width: width as usize, height: height as usize, pixels }
}

/// Averages squares of `size` by `size` pixels. What is left at the right and at the bottom is cut off.
fn reduced(image: &Image, size: usize) -> Image {
    let (width, height) = (image.width / size, image.height / size);
    let mut sums = vec![0; width * height * 3];
    for (y, row) in image.pixels.chunks(image.width * 3).take(height * size).enumerate() {
        for (i, value) in row[..width * size * 3].iter().enumerate() {
            sums[(y / size * width + i / 3 / size) * 3 + i % 3] += usize::from(*value);
        }
    }
    let pixels = sums.iter().map(|sum| (sum / (size * size)) as u8).collect();
    Image { width, height, pixels }
}

fn write(path: &Path, image: &Image) {
    let file = std::io::BufWriter::new(fs::File::create(path).unwrap());
    let mut encoder = png::Encoder::new(file, image.width as u32, image.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    encoder.write_header().unwrap().write_image_data(&image.pixels).unwrap();
}

/// How many of 1,000 squares of 4 by 4 pixels look different: one of their colors differs by more than
/// 12 of 255. So an edge that moves by less than a pixel makes no difference.
fn difference(a: &Image, b: &Image) -> f64 {
    if (a.width, a.height) != (b.width, b.height) {
        return 1000.0;
    }
    let (a, b) = (reduced(a, 4).pixels, reduced(b, 4).pixels);
    let differs = |(a, b): &(&[u8], &[u8])| a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > 12);
    let n_different = a.chunks(3).zip(b.chunks(3)).filter(differs).count();
    1000.0 * n_different as f64 / (a.len() / 3) as f64
}

#[test]
fn figures_look_like_their_references() {
    let update = std::env::var_os("UPDATE_FIGURES").is_some();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/figures");
    let got_folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures");
    fs::create_dir_all(&got_folder).unwrap();
    let mut failures = Vec::new();
    let figures = figures().unwrap();
    for (name, figure) in &figures {
        let got = reduced(&read(&figure.png().unwrap()), 2);
        let file = folder.join(format!("{name}.png"));
        if update {
            write(&file, &got);
        }
        let expected = fs::read(&file).expect("no reference: see the top of this file");
        let difference = difference(&got, &read(&expected));
        if difference > 1.0 {
            let path = got_folder.join(format!("{name}.png"));
            write(&path, &got);
            let path = path.display();
            failures.push(format!("{name}: {difference:.1} per mille differ, see {path}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let n_references = fs::read_dir(folder).unwrap().count();
    assert_eq!(n_references, figures.len(), "each reference belongs to a figure");
}

#[test]
fn small_shift_of_a_curve_looks_different_and_a_small_change_of_shade_does_not() {
    let curve = |by: f64| {
        let y: Vec<f64> = (0..50).map(|i| f64::from(i * i) + by).collect();
        let line = axes("x", "y").line("", &(0..50), &y).unwrap();
        // The same limits for all.
        read(&line.points("", &[0, 49], &[0, 2500]).unwrap().png().unwrap())
    };
    let reference = curve(0.0);
    assert_eq!(difference(&reference, &curve(0.0)), 0.0);
    assert!(difference(&reference, &curve(30.0)) > 1.0);
    let mut shade = curve(0.0);
    shade.pixels.iter_mut().for_each(|c| *c = c.saturating_sub(2));
    assert!(difference(&reference, &shade) < 1.0);
}
