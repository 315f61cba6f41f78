//! The tutorial's figures.
//!
//! A [`Figure`] says what is to be seen; it is drawn when it is shown or saved, at twice the
//! pixels that it takes on the page, so that it is sharp on any screen. The look follows
//! Neuromatch's: base size 15, no frame at the top and right, ticks outward, DejaVu Sans.

mod colour;
mod draw;

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::{Error, Result, Source, Tensor};

/// A figure: shown when it is the last line of a notebook cell, saved by [`Figure::save`].
#[derive(Clone, Debug)]
pub struct Figure {
    title: String,
    inches: (f64, f64),
    /// What is seen, side by side; a figure of several frames is an animation.
    frames: Vec<Vec<Panel>>,
}

/// One pair of axes or one diagram.
#[derive(Clone, Debug)]
enum Panel {
    HeatMap {
        /// Row by row.
        values: Vec<f32>,
        n_columns: usize,
        x_label: String,
        y_label: String,
        colour_label: String,
    },
    Curves {
        x: Vec<f32>,
        /// Name, empty for none, and height.
        curves: Vec<(String, Vec<f32>)>,
        x_label: String,
        y_label: String,
        /// Chosen by the range where there are none.
        x_ticks: Vec<f64>,
        /// The axes start at zero.
        from_zero: bool,
    },
    /// The network of section 2.
    Network,
    /// The weight at one step of gradient descent on a parabola, and the steps before it.
    Descent(Vec<f64>),
}

/// Heat map of a matrix of responses, `(n_rows, n_columns)`, one cell an element, first row on
/// top. Colours run from the 1st to the 99th percentile.
///
/// # Errors
/// If `x` is no matrix, or an empty one.
pub fn plot_data_matrix(x: &Tensor) -> Result<Figure> {
    Ok(Figure::new("", (8.0, 6.0), vec![heat_map(x, "", "")?]))
}

/// Responses of the neurons `ineurons` against the orientation of the stimulus.
///
/// `resp` is `(n_stimuli, n_neurons)`, `stimuli` `(n_stimuli, 1)` in degrees.
///
/// # Errors
/// If the shapes do not fit each other or there is no such neuron.
pub fn plot_tuning_curves(resp: &Tensor, stimuli: &Tensor, ineurons: &[usize]) -> Result<Figure> {
    Ok(Figure::new(
        "",
        (8.0, 6.0),
        vec![tuning_curves(resp, stimuli, ineurons)?],
    ))
}

/// The figure of section 1: the responses of the first 100 neurons beside the tuning curves of the
/// neurons `ineurons`.
///
/// `resp` is `(n_stimuli, n_neurons)`, `stimuli` `(n_stimuli, 1)` in degrees.
///
/// # Errors
/// If the shapes do not fit each other or there is no such neuron.
pub fn plot_recording(resp: &Tensor, stimuli: &Tensor, ineurons: &[usize]) -> Result<Figure> {
    let (n_stimuli, n_neurons) = matrix("plot_recording", resp)?;
    let title = format!("{n_neurons} neurons in response to {n_stimuli} stimuli");
    let first = resp.narrow(1, 0, n_neurons.min(100))?.t()?;
    let panels = vec![
        heat_map(&first, "stimulus", "neuron")?,
        tuning_curves(resp, stimuli, ineurons)?,
    ];
    Ok(Figure::new(&title, (12.0, 5.0), panels))
}

/// The training loss, one value an iteration, both axes from zero. Values that are not finite are
/// left out.
///
/// # Errors
/// None today.
pub fn plot_train_loss(train_loss: &[f32]) -> Result<Figure> {
    let panel = Panel::Curves {
        x: (0..train_loss.len()).map(|i| i as f32).collect(),
        curves: vec![(String::new(), train_loss.to_vec())],
        x_label: "iterations of gradient descent".into(),
        y_label: "mean squared error".into(),
        x_ticks: Vec::new(),
        from_zero: true,
    };
    Ok(Figure::new("", (8.0, 6.0), vec![panel]))
}

/// The network of section 2: responses, hidden units, decoded orientation.
pub fn plot_network() -> Figure {
    Figure::new("", (8.0, 4.0), vec![Panel::Network])
}

/// An animation of gradient descent on a loss with one weight, `L = w^2`.
pub fn plot_gradient_descent() -> Figure {
    let learning_rate = 0.12;
    let step = |w: &f64| Some(w - learning_rate * 2.0 * w);
    let path: Vec<f64> = std::iter::successors(Some(1.8), step).take(14).collect();
    Figure {
        title: String::new(),
        inches: (8.0, 5.0),
        frames: (1..=path.len())
            .map(|n| vec![Panel::Descent(path[..n].to_vec())])
            .collect(),
    }
}

fn heat_map(x: &Tensor, x_label: &str, y_label: &str) -> Result<Panel> {
    let (_, n_columns) = matrix("plot_data_matrix", x)?;
    Ok(Panel::HeatMap {
        values: x.contiguous()?.flatten_all()?.to_vec1()?,
        n_columns,
        x_label: x_label.into(),
        y_label: y_label.into(),
        colour_label: "normalized neural response".into(),
    })
}

fn tuning_curves(resp: &Tensor, stimuli: &Tensor, ineurons: &[usize]) -> Result<Panel> {
    let (n_stimuli, n_neurons) = matrix("plot_tuning_curves", resp)?;
    if stimuli.dims() != [n_stimuli, 1] {
        return Err(Error::Msg(format!(
            "plot_tuning_curves: expected orientations of shape ({n_stimuli}, 1), got {:?}: pass \
             those that belong to the responses",
            stimuli.dims()
        )));
    }
    if let Some(i) = ineurons.iter().find(|&&i| i >= n_neurons) {
        return Err(Error::Msg(format!(
            "plot_tuning_curves: expected neurons below {n_neurons}, got {i}: pick others"
        )));
    }
    let curve = |&i: &usize| -> Result<_> {
        Ok((
            format!("neuron {i}"),
            resp.narrow(1, i, 1)?
                .contiguous()?
                .flatten_all()?
                .to_vec1()?,
        ))
    };
    Ok(Panel::Curves {
        x: stimuli.flatten_all()?.to_vec1()?,
        curves: ineurons.iter().map(curve).collect::<Result<_>>()?,
        x_label: "stimulus orientation (°)".into(),
        y_label: "neural response".into(),
        x_ticks: vec![0.0, 90.0, 180.0, 270.0, 360.0],
        from_zero: false,
    })
}

fn matrix(caller: &str, x: &Tensor) -> Result<(usize, usize)> {
    match *x.dims() {
        [n_rows, n_columns] if n_rows > 0 && n_columns > 0 => Ok((n_rows, n_columns)),
        _ => Err(Error::Msg(format!(
            "{caller}: expected a matrix with at least one row and one column, got shape {:?}: \
             pass responses as (n_stimuli, n_neurons)",
            x.dims()
        ))),
    }
}

impl Figure {
    fn new(title: &str, inches: (f64, f64), panels: Vec<Panel>) -> Self {
        Self {
            title: title.into(),
            inches,
            frames: vec![panels],
        }
    }

    /// Says in the title where the data come from, if they are simulated.
    #[must_use]
    pub fn of(mut self, source: Source) -> Self {
        if let Source::Simulated { .. } = source {
            self.title = match self.title.as_str() {
                "" => "simulated recording".into(),
                title => format!("{title} (simulated)"),
            };
        }
        self
    }

    /// The figure as a PNG file; an animation as an animated one.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        let frames: Result<Vec<_>> = self
            .frames
            .iter()
            .map(|panels| draw::frame(&self.title, panels, self.css_size()))
            .collect();
        Ok(encode(self.css_size(), &frames?)?)
    }

    /// Saves the figure as a PNG file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_to(path.as_ref())
    }

    fn save_to(&self, path: &Path) -> Result<()> {
        fs::write(path, self.png()?).map_err(|why| {
            Error::Msg(format!(
                "Figure::save: cannot write {} ({why}): give a path that can be written",
                path.display()
            ))
        })
    }

    /// Shows the figure in a notebook; the kernel calls this for the last line of a cell.
    pub fn evcxr_display(&self) {
        match self.png() {
            Ok(png) => {
                let (width, _) = self.css_size();
                let png = BASE64.encode(png);
                let alt = self.alt();
                println!(
                    "EVCXR_BEGIN_CONTENT text/html\n\
                     <img src='data:image/png;base64,{png}' width='{width}' alt='{alt}' \
                     style='max-width: 100%; height: auto'>\nEVCXR_END_CONTENT\n\
                     EVCXR_BEGIN_CONTENT image/png\n{png}\nEVCXR_END_CONTENT"
                );
            }
            Err(why) => eprintln!("{why}"),
        }
    }

    /// What the figure shows, for those who cannot see it.
    fn alt(&self) -> String {
        let panels = self.frames.first().into_iter().flatten().map(|panel| match panel {
            Panel::HeatMap { values, n_columns, x_label, y_label, colour_label } => format!(
                "heat map of {colour_label}, {} rows ({y_label}) by {n_columns} columns ({x_label})",
                values.len() / n_columns
            ),
            Panel::Curves { curves, x_label, y_label, .. } => {
                let names: Vec<_> = curves.iter().map(|(name, _)| name.as_str()).collect();
                format!("{y_label} against {x_label}: {}", names.join(", "))
            }
            Panel::Network => "diagram of a network with one hidden layer".into(),
            Panel::Descent(_) => "animation of gradient descent on a parabola".into(),
        });
        let all: Vec<_> = std::iter::once(self.title.clone()).chain(panels).collect();
        let all = all.join("; ");
        all.trim_matches([';', ' ', ':'])
            .replace('&', "&amp;")
            .replace('\'', "&#39;")
    }

    /// Width and height on the page, in CSS pixels, at 80 to the inch.
    fn css_size(&self) -> (u32, u32) {
        ((self.inches.0 * 80.0) as u32, (self.inches.1 * 80.0) as u32)
    }
}

/// A PNG of RGB frames that have twice the pixels of `css_size`; several are shown in turn.
fn encode(css_size: (u32, u32), frames: &[Vec<u8>]) -> std::io::Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, css_size.0 * 2, css_size.1 * 2);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    if frames.len() > 1 {
        encoder.set_animated(frames.len() as u32, 0)?;
        encoder.set_frame_delay(1, 2)?; // half a second
    }
    let mut writer = encoder.write_header()?;
    for frame in frames {
        writer.write_image_data(frame)?;
    }
    writer.finish()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Device};

    fn size(png: &[u8]) -> (u32, u32) {
        let info = png::Decoder::new(std::io::Cursor::new(png))
            .read_info()
            .unwrap();
        (info.info().width, info.info().height)
    }

    #[test]
    fn a_figure_has_twice_the_pixels_of_its_place_on_the_page() {
        let figure = plot_train_loss(&[3.0, 2.0, 1.0]).unwrap();
        assert_eq!(size(&figure.png().unwrap()), (1280, 960));
    }

    #[test]
    fn odd_losses_are_drawn_all_the_same() {
        for losses in [
            &[][..],
            &[5.0],
            &[2.0, 2.0],
            &[f32::NAN, 1.0],
            &[f32::INFINITY],
            &[-3.0, 1e30],
        ] {
            plot_train_loss(losses).unwrap().png().unwrap();
        }
    }

    #[test]
    fn simulated_shows_in_the_title_and_recorded_does_not() {
        let resp = Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap();
        let stimuli = Tensor::ones((4, 1), DType::F32, &Device::Cpu).unwrap();
        let figure = plot_recording(&resp, &stimuli, &[0, 2]).unwrap();
        let title = "3 neurons in response to 4 stimuli";
        assert_eq!(figure.clone().of(Source::Recording).title, title);
        let simulated = Source::Simulated { seed: 1 };
        assert_eq!(figure.of(simulated).title, format!("{title} (simulated)"));
        let figure = plot_train_loss(&[1.0]).unwrap();
        assert_eq!(figure.of(simulated).title, "simulated recording");
    }

    #[test]
    fn shapes_that_do_not_fit_are_told() {
        let resp = Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap();
        let error = plot_tuning_curves(&resp, &resp, &[0])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("expected orientations of shape (4, 1), got [4, 3]"),
            "{error}"
        );
        let stimuli = Tensor::ones((4, 1), DType::F32, &Device::Cpu).unwrap();
        let error = plot_tuning_curves(&resp, &stimuli, &[3])
            .unwrap_err()
            .to_string();
        assert!(error.contains("expected neurons below 3, got 3"), "{error}");
    }

    #[test]
    fn the_highest_cell_of_a_heat_map_is_white_and_the_lowest_dark() {
        let resp = Tensor::new(&[[0f32, 1.0]], &Device::Cpu).unwrap();
        let figure = plot_data_matrix(&resp).unwrap();
        let pixels = draw::frame("", &figure.frames[0], (640, 480)).unwrap();
        let at = |x: usize, y: usize| &pixels[(y * 1280 + x) * 3..][..3];
        assert_eq!(at(300, 480), colour::PINK.at(0.0), "left");
        assert_eq!(at(800, 480), colour::PINK.at(1.0), "right");
    }
}
