//! The figures.
//!
//! A [`Figure`] says what is to be seen; it is drawn when it is shown or saved. The tutorial's
//! figures have functions of their own, all else is put together from [`axes`] and [`figure`]:
//!
//! ```
//! use helpers::*;
//! # fn main() -> Result<()> {
//! let squares = axes("number", "square").line("squares", &[1, 2, 3], &[1, 4, 9])?;
//! let points = axes("number", "root").points("roots", &[1, 4, 9], &[1, 2, 3])?;
//! figure(1, 2).with(squares).with(points)
//! # ; Ok(()) }
//! ```

mod axes;
mod colour;
mod diagrams;
mod panel;
mod raster;
mod scene;
mod style;
mod svg;
mod ticks;

use std::borrow::Borrow;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::{DType, Error, Result, Source, Tensor};
use colour::{BWR, PINK, percentiles};
use panel::{Axes, Content, HeatMap, Kind, Panel, Series};
use scene::{Place, Scene};
use style::{BASE, PIXELS_PER_INCH, SEVERAL, SINGLE};

/// A figure: shown when it is the last line of a notebook cell, saved by [`Figure::save`].
#[derive(Clone, Debug)]
pub struct Figure {
    title: String,
    n_rows: usize,
    n_columns: usize,
    inches: (f64, f64),
    /// What is seen, row by row; a figure of several frames is an animation.
    frames: Vec<Vec<Panel>>,
}

/// Numbers to plot: a [`Tensor`] of any shape, vectors, arrays and ranges.
pub trait Values {
    /// All of them, in order.
    ///
    /// # Errors
    /// If they cannot be read.
    fn values(&self) -> Result<Vec<f64>>;
}

impl Values for Tensor {
    fn values(&self) -> Result<Vec<f64>> {
        self.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
    }
}

macro_rules! values {
    ($number:ty) => {
        impl Values for Vec<$number> {
            fn values(&self) -> Result<Vec<f64>> {
                self.as_slice().values()
            }
        }

        impl<const N: usize> Values for [$number; N] {
            fn values(&self) -> Result<Vec<f64>> {
                self.as_slice().values()
            }
        }

        impl Values for &[$number] {
            fn values(&self) -> Result<Vec<f64>> {
                Ok(self.iter().map(|&x| x as f64).collect())
            }
        }
    };
}
values!(f32);
values!(f64);
values!(i32);
values!(usize);

impl Values for std::ops::Range<usize> {
    fn values(&self) -> Result<Vec<f64>> {
        Ok(self.clone().map(|x| x as f64).collect())
    }
}

/// An empty pair of axes, to be filled by [`Figure::line`], [`Figure::points`], [`Figure::bars`].
pub fn axes(x_label: &str, y_label: &str) -> Figure {
    Figure::of_panel(Content::Axes(Axes {
        x_label: x_label.into(),
        y_label: y_label.into(),
        ..Axes::default()
    }))
}

/// A figure with room for several, to be put in by [`Figure::with`], row by row.
pub fn figure(n_rows: usize, n_columns: usize) -> Figure {
    let (n_rows, n_columns) = (n_rows.max(1), n_columns.max(1));
    let inches = match (n_rows, n_columns) {
        (1, 1) => SINGLE,
        (1, _) => SEVERAL,
        (n, 1) => (SINGLE.0, 4.0 * n as f64),
        (n, _) => (SEVERAL.0, 4.2 * n as f64),
    };
    Figure {
        title: String::new(),
        n_rows,
        n_columns,
        inches,
        frames: vec![Vec::new()],
    }
}

/// Heat map of a matrix of responses, `(n_rows, n_columns)`, one cell an element, first row on
/// top. Colours run from the 1st to the 99th percentile.
///
/// # Errors
/// If `x` is no matrix, or an empty one.
pub fn plot_data_matrix(x: &Tensor) -> Result<Figure> {
    heat_map("plot_data_matrix", x, ["", "", RESPONSE])
}

/// Heat map of any matrix, `(n_rows, n_columns)`, as [`plot_data_matrix`], with labels of one's own
/// for columns, rows and colours.
///
/// # Errors
/// If `x` is no matrix, or an empty one.
pub fn plot_matrix(x: &Tensor, x_label: &str, y_label: &str, colour_label: &str) -> Result<Figure> {
    heat_map("plot_matrix", x, [x_label, y_label, colour_label])
}

/// Weights, `(n_outputs, n_inputs)`, blue below zero, white at zero, red above. The strongest
/// colours are those of the weights' size that 99 of 100 do not exceed.
///
/// # Errors
/// If `weights` is no matrix, or an empty one.
pub fn plot_weights(weights: &Tensor) -> Result<Figure> {
    let (_, n_columns) = matrix("plot_weights", weights)?;
    let values = matrix_values(weights)?;
    let sizes: Vec<f32> = values.iter().map(|x| x.abs()).collect();
    let [_, size] = percentiles(&sizes, [1.0, 99.0]);
    let size = if size > 0.0 { size } else { 1.0 };
    Ok(Figure::of_panel(Content::HeatMap(HeatMap {
        values,
        n_columns,
        x_label: "input".into(),
        y_label: "output".into(),
        colour_label: "weight".into(),
        colours: &BWR,
        limits: (-size, size),
        numbered: true,
    })))
}

/// Responses of the neurons `ineurons` against the orientation of the stimulus.
///
/// `resp` is `(n_stimuli, n_neurons)`, `stimuli` `(n_stimuli, 1)` in degrees.
///
/// # Errors
/// If the shapes do not fit each other or there is no such neuron.
pub fn plot_tuning_curves(resp: &Tensor, stimuli: &Tensor, ineurons: &[usize]) -> Result<Figure> {
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
    let mut figure = orientation_axes("stimulus orientation (°)", "neural response");
    for &i in ineurons {
        let curve = resp.narrow(1, i, 1)?;
        figure = figure.line(&format!("neuron {i}"), stimuli, &curve)?;
    }
    Ok(figure)
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
    let first = resp.narrow(1, 0, n_neurons.min(100))?.t()?;
    let heat_map = heat_map("plot_recording", &first, ["stimulus", "neuron", RESPONSE])?;
    let curves = plot_tuning_curves(resp, stimuli, ineurons)?;
    let title = format!("{n_neurons} neurons in response to {n_stimuli} stimuli");
    Ok(figure(1, 2).with(heat_map).with(curves).title(&title))
}

/// The training loss, one value an iteration, both axes from zero. Values that are not finite are
/// left out. [`Figure::log_scale`] shows how it goes on once it is small.
///
/// # Errors
/// None today.
pub fn plot_train_loss(train_loss: &[f32]) -> Result<Figure> {
    losses("mean squared error", "", train_loss)
}

/// The loss on the training set and that on the test set, one value an iteration each.
///
/// # Errors
/// None today.
pub fn plot_train_and_test_loss(train_loss: &[f32], test_loss: &[f32]) -> Result<Figure> {
    losses("loss", "training set", train_loss)?.line("test set", &(0..test_loss.len()), &test_loss)
}

fn losses(y_label: &str, name: &str, train_loss: &[f32]) -> Result<Figure> {
    let mut figure = axes("iterations of gradient descent", y_label);
    figure.each_axes(|axes| axes.from_zero = true);
    figure.line(name, &(0..train_loss.len()), &train_loss)
}

/// Decoded against true orientations, in degrees, with the line on which they are the same.
///
/// # Errors
/// If there are not as many of the one as of the other.
pub fn plot_decoded(decoded: &Tensor, stimuli: &Tensor) -> Result<Figure> {
    let mut figure = orientation_axes("true orientation (°)", "decoded orientation (°)");
    figure.each_axes(|axes| axes.y_ticks.clone_from(&axes.x_ticks));
    figure
        .series(Kind::Reference, "decoded = true", &[0, 360], &[0, 360])?
        .points("stimulus", stimuli, decoded)
}

/// Decoded minus true orientations against the true ones, in degrees, with the line of no error.
///
/// # Errors
/// If the two have different shapes.
pub fn plot_decoding_error(decoded: &Tensor, stimuli: &Tensor) -> Result<Figure> {
    let error = decoded.sub(stimuli)?;
    orientation_axes("true orientation (°)", "decoding error (°)")
        .series(Kind::Reference, "", &[0, 360], &[0, 0])?
        .points("", stimuli, &error)
}

/// For each class of orientations, which part of its stimuli was put into the right class, into one
/// next to it (the last is next to the first), and into one further away.
///
/// `predicted` and `actual` are numbers of classes, from 0 to `n_classes - 1`.
///
/// # Errors
/// If there are not as many predicted as actual ones, or one is no such number.
pub fn plot_confusion(
    predicted: &dyn Values,
    actual: &dyn Values,
    n_classes: usize,
) -> Result<Figure> {
    let (predicted, actual) = (predicted.values()?, actual.values()?);
    same_number("plot_confusion", predicted.len(), actual.len())?;
    let is_class = |class: &&f64| class.fract() == 0.0 && (0.0..n_classes as f64).contains(*class);
    if let Some(class) = predicted
        .iter()
        .chain(&actual)
        .find(|class| !is_class(class))
    {
        return Err(Error::Msg(format!(
            "plot_confusion: expected classes from 0 to below {n_classes}, got {class}: pass \
             numbers of classes, and how many there are"
        )));
    }
    let mut parts = vec![vec![0.0; n_classes]; 3];
    for (predicted, actual) in predicted.iter().zip(&actual) {
        let away = (predicted - actual).abs();
        let away = away.min(n_classes as f64 - away);
        parts[(away as usize).min(2)][*actual as usize] += 1.0;
    }
    for class in 0..n_classes {
        let n = parts.iter().map(|part| part[class]).sum::<f64>().max(1.0);
        parts.iter_mut().for_each(|part| part[class] /= n);
    }
    let mut figure = axes("class of the stimulus", "part of its stimuli");
    for (name, part) in ["right", "next to it", "further away"].iter().zip(&parts) {
        figure = figure.bars(name, &(0..n_classes), part)?;
    }
    Ok(figure)
}

/// The network of section 2: responses, hidden units, decoded orientation.
pub fn plot_network() -> Figure {
    Figure {
        inches: (8.0, 4.0),
        ..Figure::of_panel(Content::Network)
    }
}

/// An animation of gradient descent on a loss with one weight, `L = w^2`.
pub fn plot_gradient_descent() -> Figure {
    let learning_rate = 0.12;
    let step = |w: &f64| Some(w - learning_rate * 2.0 * w);
    let path: Vec<f64> = std::iter::successors(Some(1.8), step).take(14).collect();
    let frame = |n: usize| vec![Panel::new(Content::Descent(path[..n].to_vec()))];
    Figure {
        inches: (8.0, 5.0),
        frames: (1..=path.len()).map(frame).collect(),
        ..figure(1, 1)
    }
}

/// What the colours of responses mean.
const RESPONSE: &str = "normalized neural response";

fn heat_map(
    caller: &str,
    x: &Tensor,
    [x_label, y_label, colour_label]: [&str; 3],
) -> Result<Figure> {
    let (_, n_columns) = matrix(caller, x)?;
    let values = matrix_values(x)?;
    let [low, high] = percentiles(&values, [1.0, 99.0]);
    Ok(Figure::of_panel(Content::HeatMap(HeatMap {
        values,
        n_columns,
        x_label: x_label.into(),
        y_label: y_label.into(),
        colour_label: colour_label.into(),
        colours: &PINK,
        limits: (low, if high > low { high } else { low + 1.0 }),
        numbered: false,
    })))
}

fn orientation_axes(x_label: &str, y_label: &str) -> Figure {
    let mut figure = axes(x_label, y_label);
    figure.each_axes(|axes| axes.x_ticks = vec![0.0, 90.0, 180.0, 270.0, 360.0]);
    figure
}

fn matrix_values(x: &Tensor) -> Result<Vec<f32>> {
    x.to_dtype(DType::F32)?
        .contiguous()?
        .flatten_all()?
        .to_vec1()
}

fn matrix(caller: &str, x: &Tensor) -> Result<(usize, usize)> {
    match *x.dims() {
        [n_rows, n_columns] if n_rows > 0 && n_columns > 0 => Ok((n_rows, n_columns)),
        _ => Err(Error::Msg(format!(
            "{caller}: expected a matrix with at least one row and one column, got shape {:?}: \
             pass one such as responses, (n_stimuli, n_neurons)",
            x.dims()
        ))),
    }
}

fn same_number(caller: &str, n: usize, expected: usize) -> Result<()> {
    match n == expected {
        true => Ok(()),
        false => Err(Error::Msg(format!(
            "{caller}: expected as many values of the one as of the other, got {n} and \
             {expected}: pass what belongs together"
        ))),
    }
}

impl Panel {
    fn new(content: Content) -> Self {
        Self {
            title: String::new(),
            content,
        }
    }
}

impl Figure {
    fn of_panel(content: Content) -> Self {
        Self {
            frames: vec![vec![Panel::new(content)]],
            ..figure(1, 1)
        }
    }

    /// Puts in another figure, at the next place; where there is none left, in a further row.
    #[must_use]
    pub fn with(&self, other: impl Borrow<Self>) -> Self {
        self.with_figure(other.borrow())
    }

    fn with_figure(&self, other: &Self) -> Self {
        let mut all = self.clone();
        let mut panels = other.frames.last().cloned().unwrap_or_default();
        if let [panel] = &mut panels[..] {
            panel.title.clone_from(&other.title);
        }
        if let Some(frame) = all.frames.last_mut() {
            frame.extend(panels);
            let n_rows = frame.len().div_ceil(self.n_columns);
            if n_rows > self.n_rows {
                all.n_rows = n_rows;
                all.inches = figure(n_rows, self.n_columns).inches;
            }
        }
        all
    }

    /// What stands above the figure.
    #[must_use]
    pub fn title(&self, title: &str) -> Self {
        Self {
            title: title.into(),
            ..self.clone()
        }
    }

    /// Says in the title where the data come from, if they are simulated.
    #[must_use]
    pub fn of(&self, source: Source) -> Self {
        match (source, self.title.as_str()) {
            (Source::Recording, _) => self.clone(),
            (Source::Simulated { .. }, "") => self.title("simulated recording"),
            (Source::Simulated { .. }, title) => self.title(&format!("{title} (simulated)")),
        }
    }

    /// A line through points, interrupted where one is not finite. With an empty `name` it is not
    /// in the legend.
    ///
    /// # Errors
    /// If `x` and `y` have different numbers of values, or the figure has no axes.
    pub fn line(&self, name: &str, x: &dyn Values, y: &dyn Values) -> Result<Self> {
        self.series(Kind::Line, name, x, y)
    }

    /// Points; else as [`Figure::line`].
    ///
    /// # Errors
    /// As [`Figure::line`].
    pub fn points(&self, name: &str, x: &dyn Values, y: &dyn Values) -> Result<Self> {
        self.series(Kind::Points, name, x, y)
    }

    /// Bars from zero; further ones stand on those before. Else as [`Figure::line`].
    ///
    /// # Errors
    /// As [`Figure::line`].
    pub fn bars(&self, name: &str, x: &dyn Values, y: &dyn Values) -> Result<Self> {
        self.series(Kind::Bars, name, x, y)
    }

    fn series(&self, kind: Kind, name: &str, x: &dyn Values, y: &dyn Values) -> Result<Self> {
        let mut figure = self.clone();
        let (x, y) = (x.values()?, y.values()?);
        same_number("figure", x.len(), y.len())?;
        let last = figure.frames.last_mut().and_then(|frame| frame.last_mut());
        let Some(Content::Axes(axes)) = last.map(|panel| &mut panel.content) else {
            return Err(Error::Msg(
                "figure: expected axes to draw in, got a figure that has none: begin with axes(), \
                 and put it in by with()"
                    .into(),
            ));
        };
        let name = name.into();
        axes.series.push(Series { name, kind, x, y });
        Ok(figure)
    }

    /// Heights on a logarithmic scale, on all axes of the figure. Values that are not above zero
    /// are left out.
    #[must_use]
    pub fn log_scale(&self) -> Self {
        let mut figure = self.clone();
        figure.each_axes(|axes| axes.logarithmic = true);
        figure
    }

    fn each_axes(&mut self, change: impl Fn(&mut Axes)) {
        for panel in self.frames.iter_mut().flatten() {
            if let Content::Axes(axes) = &mut panel.content {
                change(axes);
            }
        }
    }

    /// The figure as a PNG file, with twice the pixels that it takes on the page; an animation as
    /// an animated one.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        let frame = |panels: &Vec<Panel>| raster::pixels(&self.scene(panels)?);
        let frames: Result<Vec<_>> = self.frames.iter().map(frame).collect();
        let (width, height) = self.size();
        Ok(raster::png((width * 2, height * 2), &frames?)?)
    }

    /// The figure as an SVG file; of an animation its last frame.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub fn svg(&self) -> Result<String> {
        let panels = self.frames.last().map_or(&[][..], Vec::as_slice);
        svg::svg(&self.scene(panels)?, &self.alt_text())
    }

    /// Saves the figure as a PNG file, or as SVG if that is how the name ends.
    ///
    /// # Errors
    /// If the name ends in neither `.png` nor `.svg`, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_to(path.as_ref())
    }

    fn save_to(&self, path: &Path) -> Result<()> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let file = match ending.to_str() {
            Some("png") => self.png()?,
            Some("svg") => self.svg()?.into_bytes(),
            _ => {
                return Err(Error::Msg(format!(
                    "Figure::save: expected a name that ends in .png or .svg, got {}: give it one",
                    path.display()
                )));
            }
        };
        fs::write(path, file).map_err(|why| {
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
                let (width, _) = self.size();
                let png = BASE64.encode(png);
                let alt = svg::escaped(&self.alt_text());
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
    pub fn alt_text(&self) -> String {
        let panels = self.frames.last().into_iter().flatten();
        let all = std::iter::once(self.title.clone()).chain(panels.map(Panel::alt_text));
        let all: Vec<String> = all.filter(|part| !part.is_empty()).collect();
        all.join("; ")
    }

    /// Width and height on the page, in CSS pixels.
    fn size(&self) -> (u32, u32) {
        let (width, height) = self.inches;
        (
            (width * PIXELS_PER_INCH) as u32,
            (height * PIXELS_PER_INCH) as u32,
        )
    }

    fn scene(&self, panels: &[Panel]) -> Result<Scene> {
        let (width, height) = self.size();
        let mut scene = Scene {
            size: (width.into(), height.into()),
            marks: Vec::new(),
        };
        let letters = if self.n_columns > 2 { 0.8 } else { 1.0 };
        let page = Place {
            left: 0.0,
            top: 0.0,
            width: width.into(),
            height: height.into(),
        };
        let mut page = page.within([8.0, 8.0, 8.0, 4.0]);
        if !self.title.is_empty() {
            let at = (page.middle().0, page.top + BASE * 1.1);
            scene.fitted(&self.title, at, BASE * 1.1, page.width, false)?;
            page = page.within([0.0, 0.0, BASE * 1.8, 0.0]);
        }
        let (n_rows, n_columns) = (self.n_rows as f64, self.n_columns as f64);
        let gap = BASE;
        let (width, height) = (
            (page.width - gap * (n_columns - 1.0)) / n_columns,
            (page.height - gap * (n_rows - 1.0)) / n_rows,
        );
        for (i, panel) in panels.iter().enumerate() {
            let (row, column) = (i / self.n_columns, i % self.n_columns);
            let place = Place {
                left: page.left + column as f64 * (width + gap),
                top: page.top + row as f64 * (height + gap),
                width,
                height,
            };
            let row = panels.chunks(self.n_columns).nth(row).unwrap_or_default();
            let titled = row.iter().any(|panel| !panel.title.is_empty());
            axes::lay_out(&mut scene, panel, place, letters, titled)?;
        }
        Ok(scene)
    }
}

#[cfg(test)]
mod tests {
    use super::scene::Mark;
    use super::*;
    use crate::Device;

    fn page(figure: &Figure) -> Scene {
        figure.scene(figure.frames.last().unwrap()).unwrap()
    }

    fn matrix_of(n_rows: usize, n_columns: usize) -> Tensor {
        let values: Vec<f32> = (0..n_rows * n_columns).map(|i| (i as f32).sin()).collect();
        Tensor::from_vec(values, (n_rows, n_columns), &Device::Cpu).unwrap()
    }

    /// Figures whose labels are hard to place.
    fn hard() -> Vec<Figure> {
        let line = |x: &[f64], y: &[f64]| {
            let label =
                "a label that is much longer than the axis that it belongs to, or any other";
            axes(label, label)
                .line("a name that is far too long for its figure", &x, &y)
                .unwrap()
        };
        let numbers: &[(&[f64], &[f64])] = &[
            (&[], &[]),
            (&[5.0], &[5.0]),
            (&[0.0, 1.0], &[2.0, 2.0]),
            (&[f64::NAN, 1.0], &[1.0, f64::INFINITY]),
            (&[-3e-12, 1e-12], &[-1e30, 1e30]),
            (&[123_456.0, 123_457.0], &[-0.001, 0.0012]),
            (&[1e300, 1.1e300], &[1e-300, 2e-300]),
        ];
        let lines: Vec<Figure> = numbers.iter().map(|(x, y)| line(x, y)).collect();
        let grid = |n_columns| {
            lines
                .iter()
                .fold(figure(1, n_columns), |all, one| all.with(one))
        };
        let resp = matrix_of(4, 300);
        let stimuli = matrix_of(4, 1);
        let all = [
            grid(2),
            grid(3).title(
                "a title that is too long for any figure, though it has all of the width to itself",
            ),
            grid(3).log_scale(),
            plot_recording(&resp, &stimuli, &[0, 1, 2]).unwrap(),
            plot_weights(&(&resp * 1e-9).unwrap()).unwrap(),
            plot_confusion(&[0, 1, 2, 3], &[1, 1, 2, 0], 4).unwrap(),
            plot_decoding_error(&stimuli, &stimuli).unwrap(),
            plot_network(),
            figure(2, 3)
                .with(plot_network())
                .with(plot_gradient_descent())
                .with(plot_network()),
            plot_gradient_descent(),
            plot_train_and_test_loss(&[1e9; 2000], &[f32::NAN]).unwrap(),
        ];
        lines.into_iter().chain(all).collect()
    }

    #[test]
    fn labels_are_neither_cut_off_nor_over_each_other() {
        for figure in hard() {
            let scene = page(&figure);
            let (width, height) = scene.size;
            let page = Place {
                left: 0.0,
                top: 0.0,
                width,
                height,
            };
            let texts: Vec<_> = scene
                .marks
                .iter()
                .filter_map(|mark| match mark {
                    Mark::Text(text) => Some(text),
                    _ => None,
                })
                .collect();
            assert!(!texts.is_empty());
            let places: Vec<Place> = texts.iter().map(|text| text.place().unwrap()).collect();
            for (i, (text, place)) in texts.iter().zip(&places).enumerate() {
                let inside =
                    page.has((place.left, place.top)) && page.has((place.right(), place.bottom()));
                assert!(
                    inside,
                    "{:?} is cut off: {place:?} in {}",
                    text.words,
                    figure.alt_text()
                );
                for (other, other_place) in texts.iter().zip(&places).take(i) {
                    let apart = place.left + 0.5 >= other_place.right()
                        || other_place.left + 0.5 >= place.right()
                        || place.top >= other_place.bottom()
                        || other_place.top >= place.bottom();
                    assert!(
                        apart,
                        "{:?} and {:?} overlap in {}",
                        text.words,
                        other.words,
                        figure.alt_text()
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_is_drawn_at_the_edge_of_the_page() {
        for figure in hard() {
            let (width, height) = figure.size();
            let (width, height) = (width as usize * 2, height as usize * 2);
            let pixels = raster::pixels(&page(&figure)).unwrap();
            let white = |x: usize, y: usize| pixels[(y * width + x) * 3..][..3] == [255; 3];
            let edge = (0..width * height)
                .map(|i| (i % width, i / width))
                .filter(|(x, y)| [0, width - 1].contains(x) || [0, height - 1].contains(y));
            let inked: Vec<_> = edge.filter(|&(x, y)| !white(x, y)).collect();
            assert!(inked.is_empty(), "{inked:?} in {}", figure.alt_text());
            assert!((0..width * height).any(|i| !white(i % width, i / width)));
        }
    }

    #[test]
    fn cells_of_a_heat_map_have_their_colours() {
        let nan = f32::NAN;
        let resp = Tensor::new(&[[0f32, 1.0], [nan, 0.5]], &Device::Cpu).unwrap();
        let figure = plot_data_matrix(&resp).unwrap();
        let pixels = raster::pixels(&page(&figure)).unwrap();
        let at = |x: usize, y: usize| &pixels[(y * 1280 + x) * 3..][..3];
        assert_eq!(at(300, 300), PINK.at(0.0), "upper left");
        assert_eq!(at(800, 300), PINK.at(1.0), "upper right");
        assert_eq!(at(300, 700), style::NAN, "lower left");
        assert_eq!(at(800, 700), PINK.at(0.5), "lower right");
        let weights = Tensor::new(&[[-2f32, 0.0, 2.0]], &Device::Cpu).unwrap();
        let pixels = raster::pixels(&page(&plot_weights(&weights).unwrap())).unwrap();
        let at = |x: usize, y: usize| &pixels[(y * 1280 + x) * 3..][..3];
        assert_eq!(at(250, 480), [0, 0, 255], "below zero");
        assert_eq!(at(550, 480), [255, 254, 254], "zero");
        assert_eq!(at(850, 480), [255, 0, 0], "above zero");
    }

    #[test]
    fn a_point_is_where_its_values_are() {
        let figure = axes("x", "y").points("", &[0, 1, 2], &[0, 5, 10]).unwrap();
        let scene = page(&figure);
        let dots: Vec<_> = scene
            .marks
            .iter()
            .filter_map(|mark| match mark {
                Mark::Dot { at, .. } => Some(*at),
                _ => None,
            })
            .collect();
        let tick = |words: &str| {
            let is_it = |mark: &&Mark| matches!(mark, Mark::Text(text) if text.words == words);
            match scene.marks.iter().find(is_it) {
                Some(Mark::Text(text)) => text.place().unwrap().middle(),
                _ => panic!("no tick {words}"),
            }
        };
        assert!((dots[1].0 - tick("1").0).abs() < 1.0, "{dots:?}");
        assert!((dots[2].1 - tick("10").1).abs() < 2.0, "{dots:?}");
        assert!(dots[0].1 > dots[1].1 && dots[1].1 > dots[2].1);
    }

    #[test]
    fn a_logarithmic_scale_leaves_out_what_has_no_logarithm() {
        let losses = plot_train_loss(&[100.0, 0.0, -1.0, 10.0, 1.0])
            .unwrap()
            .log_scale();
        let (mut lines, mut dots) = (Vec::new(), 0);
        for mark in page(&losses).marks {
            match mark {
                Mark::Line { points, colour, .. } if colour == style::CURVES[0] => {
                    lines.push(points);
                }
                Mark::Dot { .. } => dots += 1,
                _ => {}
            }
        }
        assert_eq!((lines.len(), dots), (1, 1), "10 to 1 as a line, 100 alone");
    }

    #[test]
    fn a_figure_is_saved_as_its_name_says() {
        let dir = tempfile::tempdir().unwrap();
        let figure = plot_recording(&matrix_of(4, 3), &matrix_of(4, 1), &[0, 2]).unwrap();
        let (png, svg) = (dir.path().join("a.png"), dir.path().join("a.SVG"));
        figure.save(&png).unwrap();
        figure.save(&svg).unwrap();
        let file = fs::File::open(png).unwrap();
        let reader = png::Decoder::new(std::io::BufReader::new(file))
            .read_info()
            .unwrap();
        assert_eq!((reader.info().width, reader.info().height), (1920, 800));
        let svg = fs::read_to_string(svg).unwrap();
        assert!(
            svg.starts_with("<svg xmlns='http://www.w3.org/2000/svg' width='960' height='400'")
        );
        assert!(svg.contains("<title>3 neurons in response to 4 stimuli; heat map"));
        assert!(svg.contains(">stimulus orientation (°)</text>"));
        assert!(svg.contains("href='data:image/png;base64,"));
        assert!(svg.trim_end().ends_with("</svg>"));
        let odd = plot_network().title("1 < 2 & 'so on'").svg().unwrap();
        assert!(odd.contains("<title>1 &lt; 2 &amp; &#39;so on&#39;; diagram"));
        let error = figure
            .save(dir.path().join("a.jpg"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("expected a name that ends in .png or .svg"),
            "{error}"
        );
    }

    #[test]
    fn alt_text_says_what_is_seen() {
        let loss = plot_train_loss(&[44_700.4, 2.0, f32::NAN])
            .unwrap()
            .title("a < b");
        assert_eq!(
            loss.alt_text(),
            "a < b; mean squared error against iterations of gradient descent, line with x from 0 \
             to 2 and y from 2 to 44700"
        );
        let resp = Tensor::new(&[[0f32, 1.0]], &Device::Cpu).unwrap();
        let expected = "heat map of normalized neural response, 1 rows by 2 columns, colours from \
             0.01 to 0.99";
        assert_eq!(plot_data_matrix(&resp).unwrap().alt_text(), expected);
    }

    #[test]
    fn simulated_shows_in_the_title_and_recorded_does_not() {
        let resp = matrix_of(4, 3);
        let figure = plot_recording(&resp, &matrix_of(4, 1), &[0, 2]).unwrap();
        let title = "3 neurons in response to 4 stimuli";
        assert_eq!(figure.of(Source::Recording).title, title);
        let simulated = Source::Simulated { seed: 1 };
        assert_eq!(figure.of(simulated).title, format!("{title} (simulated)"));
        let figure = plot_train_loss(&[1.0]).unwrap();
        assert_eq!(figure.of(simulated).title, "simulated recording");
    }

    #[test]
    fn what_cannot_be_drawn_is_told() {
        let resp = matrix_of(4, 3);
        let stimuli = matrix_of(4, 1);
        for (figure, expected) in [
            (
                plot_tuning_curves(&resp, &resp, &[0]),
                "orientations of shape (4, 1), got [4, 3]",
            ),
            (
                plot_tuning_curves(&resp, &stimuli, &[3]),
                "neurons below 3, got 3",
            ),
            (
                plot_data_matrix(&resp.flatten_all().unwrap()),
                "got shape [12]",
            ),
            (plot_confusion(&[0, 1], &[0], 2), "got 2 and 1"),
            (
                plot_confusion(&[0, 2], &[0, 1], 2),
                "classes from 0 to below 2, got 2",
            ),
            (plot_decoded(&resp, &stimuli), "got 4 and 12"),
            (plot_network().line("", &[0], &[0]), "expected axes"),
        ] {
            let error = figure.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_figure_that_is_full_gets_another_row() {
        let one = plot_train_loss(&[1.0]).unwrap();
        let three = figure(1, 2).with(&one).with(&one).with(&one);
        assert_eq!((three.n_rows, three.frames[0].len()), (2, 3));
        assert_eq!(three.size(), (960, 672));
    }
}
