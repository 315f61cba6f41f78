//! The figures.
//!
//! A [`Figure`] holds what is plotted; it is drawn when it is shown or saved. The tutorial's figures
//! have functions of their own. These functions return an error if the shapes of their arguments do
//! not match. To make other figures, begin with [`axes`] or [`figure`]:
//!
//! ```
//! use helpers::*;
//! # fn main() -> Result<()> {
//! let squares = axes("number", "square").line("squares", &[1, 2, 3], &[1, 4, 9])?;
//! let points = axes("number", "root").points("roots", &[1, 4, 9], &[1, 2, 3])?;
//! figure(1, 2).with(squares).with(points)
//! # ; Ok(()) }
//! ```

mod canvas;
mod chart;
mod color;
mod diagrams;
mod panel;
mod scale;
mod style;

use std::borrow::Borrow;
use std::fmt;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use candle_core::{DType, Error, Result, Tensor, bail};
use num_traits::AsPrimitive;
use plotters::prelude::*;
use plotters_bitmap::BitMapBackend;
use rayon::prelude::*;

use crate::kernel::{self, Formats};
use crate::recording::Source;
use chart::{Area, DrawResult, draw_panel, draw_title};
use color::{BWR, PINK, percentiles};
use panel::{Axes, Content, HeatMap, Kind, Panel, Series};
use style::{BASE, FONT, PIXELS_PER_INCH, SCALE, SEVERAL, SINGLE, missing_letters, px};

/// A figure. A notebook shows it as the last line of a cell; [`Figure::show`] shows it before that,
/// [`Figure::save`] saves it.
#[derive(Clone)]
pub struct Figure {
    title: String,
    n_rows: usize,
    n_columns: usize,
    inches: (f64, f64),
    /// The panels of each frame, row by row. Several frames are an animation.
    frames: Vec<Vec<Panel>>,
}

impl fmt::Debug for Figure {
    /// One line: the kernel prints this where a cell ends with a `Result<Figure>`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Figure {{ {:?} }}: add ? after the call to see it", self.title)
    }
}

/// Numbers to plot: a [`Tensor`] of any shape, a vector, an array, a slice or a range.
pub trait Values {
    /// All numbers in order.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    fn values(&self) -> Result<Vec<f64>>;
}

impl Values for Tensor {
    fn values(&self) -> Result<Vec<f64>> {
        self.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
    }
}

impl<T: AsPrimitive<f64>> Values for &[T] {
    fn values(&self) -> Result<Vec<f64>> {
        Ok(self.iter().map(|x| x.as_()).collect())
    }
}

impl<T: AsPrimitive<f64>> Values for Vec<T> {
    fn values(&self) -> Result<Vec<f64>> {
        self.as_slice().values()
    }
}

impl<T: AsPrimitive<f64>, const N: usize> Values for [T; N] {
    fn values(&self) -> Result<Vec<f64>> {
        self.as_slice().values()
    }
}

impl Values for std::ops::Range<usize> {
    fn values(&self) -> Result<Vec<f64>> {
        self.clone().collect::<Vec<usize>>().values()
    }
}

/// Empty axes; draw in them with [`Figure::line`], [`Figure::points`] and [`Figure::bars`].
pub fn axes(x_label: &str, y_label: &str) -> Figure {
    let (x_label, y_label) = (x_label.into(), y_label.into());
    Figure::of_panel(Content::Axes(Axes { x_label, y_label, ..Axes::default() }))
}

/// A grid for several figures; [`Figure::with`] puts them in, row by row.
pub fn figure(n_rows: usize, n_columns: usize) -> Figure {
    let (n_rows, n_columns) = (n_rows.max(1), n_columns.max(1));
    let (width, height) = match (n_rows, n_columns) {
        (1, 1) => SINGLE,
        (1, _) => SEVERAL,
        (n, 1) => (SINGLE.0, 4.0 * n as f64),
        (n, _) => (SEVERAL.0, 4.2 * n as f64),
    };
    // Notebooks fit wide figures to the page, so that their letters become smaller.
    let enlarge = if n_columns > 2 { 1.25 } else { 1.0 };
    let inches = (width * enlarge, height * enlarge);
    Figure { title: String::new(), n_rows, n_columns, inches, frames: vec![Vec::new()] }
}

/// Heat map of a matrix of responses, `(n_rows, n_columns)`, with the first row on top. The colors
/// range from the 1st to the 99th percentile.
pub fn plot_data_matrix(x: &Tensor) -> Result<Figure> {
    plot_matrix(x, "", "", "normalized neural response")
}

/// Heat map of any matrix, `(n_rows, n_columns)`, like [`plot_data_matrix`] but with your own labels
/// for columns, rows and colors.
pub fn plot_matrix(x: &Tensor, x_label: &str, y_label: &str, color_label: &str) -> Result<Figure> {
    let (_, n_columns) = matrix("plot_matrix", x)?;
    let values = matrix_values(x)?;
    let [low, high] = percentiles(&values, [1.0, 99.0]);
    Ok(Figure::of_panel(Content::HeatMap(HeatMap {
        values,
        n_columns,
        x_label: x_label.into(),
        y_label: y_label.into(),
        color_label: color_label.into(),
        colors: &PINK,
        limits: (low, if high > low { high } else { low + 1.0 }),
        has_ticks: false,
    })))
}

/// Heat map of the weights of the input layer, `(n_hidden, n_neurons)`: blue below zero, white at zero,
/// red above. The colors end at the 99th percentile of the absolute values.
pub fn plot_weights(weights: &Tensor) -> Result<Figure> {
    let (_, n_columns) = matrix("plot_weights", weights)?;
    let values = matrix_values(weights)?;
    let absolute: Vec<f32> = values.iter().map(|x| x.abs()).collect();
    let [largest] = percentiles(&absolute, [99.0]);
    let limit = if largest > 0.0 { largest } else { 1.0 };
    Ok(Figure::of_panel(Content::HeatMap(HeatMap {
        values,
        n_columns,
        x_label: "neuron".into(),
        y_label: "hidden unit".into(),
        color_label: "weight".into(),
        colors: &BWR,
        limits: (-limit, limit),
        has_ticks: true,
    })))
}

/// Responses of the neurons `ineurons` against the orientation of the stimulus.
///
/// `resp` is `(n_stimuli, n_neurons)`, `stimuli` `(n_stimuli, 1)` in degrees.
pub fn plot_tuning_curves(resp: &Tensor, stimuli: &Tensor, ineurons: &[usize]) -> Result<Figure> {
    let (n_stimuli, n_neurons) = matrix("plot_tuning_curves", resp)?;
    if stimuli.dims() != [n_stimuli, 1] {
        bail!(
            "plot_tuning_curves: expected orientations of shape ({n_stimuli}, 1), got {:?}: pass \
             the orientations that belong to the responses",
            stimuli.dims()
        );
    }
    if let Some(i) = ineurons.iter().find(|&&i| i >= n_neurons) {
        bail!(
            "plot_tuning_curves: expected neurons below {n_neurons}, got {i}: choose smaller numbers"
        );
    }
    let mut figure = orientation_axes("stimulus orientation (°)", "neural response");
    for &i in ineurons {
        let curve = resp.narrow(1, i, 1)?;
        figure = figure.line(&format!("neuron {i}"), stimuli, &curve)?;
    }
    Ok(figure)
}

/// The training loss, with one value for each iteration. Both axes begin at zero. Values that are
/// not finite are left out. [`Figure::log_scale`] also shows small losses.
pub fn plot_train_loss(train_loss: &[f32]) -> Result<Figure> {
    losses("mean squared error", "", train_loss)
}

/// The loss on the training set and on the test set, with one value for each iteration.
pub fn plot_train_and_test_loss(train_loss: &[f32], test_loss: &[f32]) -> Result<Figure> {
    losses("loss", "training set", train_loss)?.line("test set", &(0..test_loss.len()), &test_loss)
}

fn losses(y_label: &str, name: &str, train_loss: &[f32]) -> Result<Figure> {
    let mut figure = axes("iterations of gradient descent", y_label);
    figure.each_axes(|axes| axes.from_zero = true);
    figure.line(name, &(0..train_loss.len()), &train_loss)
}

/// Decoded against true orientations, in degrees, with the line on which they are equal.
pub fn plot_decoded(decoded: &Tensor, stimuli: &Tensor) -> Result<Figure> {
    let mut figure = orientation_axes("true orientation (°)", "decoded orientation (°)");
    figure.each_axes(|axes| axes.y_ticks.clone_from(&axes.x_ticks));
    figure
        .series(Kind::Reference, "decoded = true", &[0, 360], &[0, 360])?
        .points("stimulus", stimuli, decoded)
}

/// Decoded minus true orientations against true orientations, in degrees, with the line of no error.
pub fn plot_decoding_error(decoded: &Tensor, stimuli: &Tensor) -> Result<Figure> {
    let error = decoded.sub(stimuli)?;
    orientation_axes("true orientation (°)", "decoding error (°)")
        .series(Kind::Reference, "", &[0, 360], &[0, 0])?
        .points("", stimuli, &error)
}

/// For each class of orientations, the fraction of its stimuli whose predicted class is right, is next
/// to the right class (the last class is next to the first), or is further away.
///
/// `predicted` and `actual` are numbers of classes, from 0 to `n_classes - 1`.
pub fn plot_confusion(
    predicted: &dyn Values,
    actual: &dyn Values,
    n_classes: usize,
) -> Result<Figure> {
    let (predicted, actual) = (predicted.values()?, actual.values()?);
    same_number("plot_confusion", predicted.len(), actual.len())?;
    let is_class = |class: &f64| class.fract() == 0.0 && (0.0..n_classes as f64).contains(class);
    if let Some(class) = predicted.iter().chain(&actual).find(|class| !is_class(class)) {
        bail!(
            "plot_confusion: expected classes from 0 to below {n_classes}, got {class}: pass the \
             numbers of the classes, and how many classes there are"
        );
    }
    let mut fractions = vec![vec![0.0; n_classes]; 3];
    for (predicted, actual) in predicted.iter().zip(&actual) {
        let distance = (predicted - actual).abs();
        let distance = distance.min(n_classes as f64 - distance);
        fractions[(distance as usize).min(2)][*actual as usize] += 1.0;
    }
    for class in 0..n_classes {
        let n: f64 = fractions.iter().map(|counts| counts[class]).sum();
        for counts in &mut fractions {
            counts[class] /= n.max(1.0);
        }
    }
    axes("class of the stimulus", "fraction of its stimuli")
        .bars("right", &(0..n_classes), &fractions[0])?
        .bars("next to it", &(0..n_classes), &fractions[1])?
        .bars("further away", &(0..n_classes), &fractions[2])
}

/// The network of section 2: responses, hidden units, decoded orientation.
pub fn plot_network() -> Figure {
    Figure { inches: (8.0, 4.0), ..Figure::of_panel(Content::Network) }
}

/// An animation of gradient descent on a loss with one weight, `L = w^2`.
pub fn plot_gradient_descent() -> Figure {
    let learning_rate = 0.12;
    let step = |w: &f64| Some(w - learning_rate * 2.0 * w);
    let path: Vec<f64> = std::iter::successors(Some(1.8), step).take(14).collect();
    let frame = |n: usize| Figure::of_panel(Content::Descent(path[..n].to_vec()));
    let frames: Vec<Figure> = (1..=path.len()).map(frame).collect();
    Figure { inches: (8.0, 5.0), ..animation(&frames) }
}

/// A grating: black and white stripes at an angle in degrees, counterclockwise from horizontal.
pub fn plot_grating(ori: f64) -> Figure {
    Figure { inches: (5.0, 5.0), ..Figure::of_panel(Content::Grating(ori)) }
}

/// An animation that shows one figure after the other, each with its title.
pub fn animation(figures: &[Figure]) -> Figure {
    let frames = figures.iter().flat_map(|frame| figure(1, 1).with(frame).frames);
    Figure { frames: frames.collect(), ..figure(1, 1) }
}

fn orientation_axes(x_label: &str, y_label: &str) -> Figure {
    let mut figure = axes(x_label, y_label);
    figure.each_axes(|axes| axes.x_ticks = Some(vec![0.0, 90.0, 180.0, 270.0, 360.0]));
    figure
}

fn matrix_values(x: &Tensor) -> Result<Vec<f32>> {
    x.to_dtype(DType::F32)?.contiguous()?.flatten_all()?.to_vec1()
}

fn matrix(caller: &str, x: &Tensor) -> Result<(usize, usize)> {
    match *x.dims() {
        [n_rows, n_columns] if n_rows > 0 && n_columns > 0 => Ok((n_rows, n_columns)),
        _ => bail!(
            "{caller}: expected a matrix with at least one row and one column, got shape {:?}: \
             pass a matrix such as responses, (n_stimuli, n_neurons)",
            x.dims()
        ),
    }
}

fn same_number(caller: &str, n: usize, expected: usize) -> Result<()> {
    if n != expected {
        bail!(
            "{caller}: expected two lists of equal length, got {n} and {expected} values: pass \
             values that belong together"
        );
    }
    Ok(())
}

impl Figure {
    fn of_panel(content: Content) -> Self {
        let panel = Panel { title: String::new(), content };
        Self { frames: vec![vec![panel]], ..figure(1, 1) }
    }

    /// Puts another figure into the next place of the grid; a full grid gets another row.
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

    /// Sets the title above the figure.
    #[must_use]
    pub fn title(&self, title: &str) -> Self {
        Self { title: title.into(), ..self.clone() }
    }

    /// Adds to the title that the data are simulated, if they are.
    #[must_use]
    pub fn of(&self, source: Source) -> Self {
        match (source, self.title.as_str()) {
            (Source::Recording, _) => self.clone(),
            (Source::Simulated { .. }, "") => self.title("simulated recording"),
            (Source::Simulated { .. }, title) => self.title(&format!("{title} (simulated)")),
        }
    }

    /// Adds a line through points, with gaps where values are not finite. A line with an empty
    /// `name` is not in the legend.
    ///
    /// # Errors
    /// If `x` and `y` have different numbers of values, or the figure has no axes.
    pub fn line(&self, name: &str, x: &dyn Values, y: &dyn Values) -> Result<Self> {
        self.series(Kind::Line, name, x, y)
    }

    /// Adds points; otherwise like [`Figure::line`].
    pub fn points(&self, name: &str, x: &dyn Values, y: &dyn Values) -> Result<Self> {
        self.series(Kind::Points, name, x, y)
    }

    /// Adds bars, stacked on those of earlier series; otherwise like [`Figure::line`].
    pub fn bars(&self, name: &str, x: &dyn Values, y: &dyn Values) -> Result<Self> {
        self.series(Kind::Bars, name, x, y)
    }

    fn series(&self, kind: Kind, name: &str, x: &dyn Values, y: &dyn Values) -> Result<Self> {
        let mut figure = self.clone();
        let (x, y) = (x.values()?, y.values()?);
        same_number("figure", x.len(), y.len())?;
        let last = figure.frames.last_mut().and_then(|frame| frame.last_mut());
        let Some(Content::Axes(axes)) = last.map(|panel| &mut panel.content) else {
            bail!(
                "figure: expected axes to draw in, got a figure without axes: draw on the result of \
                 axes(), and add that to the figure with with()"
            );
        };
        axes.series.push(Series { name: name.into(), kind, x, y });
        Ok(figure)
    }

    /// Makes the y axes of the figure logarithmic. Values that are not above zero are left out.
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

    /// The figure as a PNG file with twice the pixels of its size on the page. An animation becomes
    /// an animated PNG.
    ///
    /// # Errors
    /// If a text has letters that the font lacks.
    pub fn png(&self) -> Result<Vec<u8>> {
        let frame = |panels: &Vec<Panel>| self.pixels(panels);
        let frames: Result<Vec<_>> = self.frames.par_iter().map(frame).collect();
        Ok(canvas::png(self.size(2), &frames?)?)
    }

    /// The figure as an SVG file; of an animation, the last frame.
    ///
    /// # Errors
    /// If a text has letters that the font lacks.
    pub fn svg(&self) -> Result<String> {
        let (width, height) = self.size(1);
        let size = self.size(SCALE);
        let mut svg = String::new();
        let panels = self.frames.last().map_or(&[][..], Vec::as_slice);
        self.draw(panels, SVGBackend::with_string(&mut svg, size))?;
        let large = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
        let alt = escaped(&self.alt_text());
        Ok(svg
            .replacen(&large, &format!("width=\"{width}\" height=\"{height}\""), 1)
            .replacen(">\n", &format!(" role=\"img\">\n<title>{alt}</title>\n"), 1)
            .replace("stroke=\"none\"", "shape-rendering=\"crispEdges\""))
    }

    /// Saves the figure as a PNG or SVG file, depending on the end of the file name.
    ///
    /// # Errors
    /// If the name ends in neither `.png` nor `.svg`, a text has letters that the font lacks, or
    /// the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_to(path.as_ref())
    }

    fn save_to(&self, path: &Path) -> Result<()> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let file = match ending.to_str() {
            Some("png") => self.png()?,
            Some("svg") => self.svg()?.into_bytes(),
            _ => bail!(
                "Figure::save: expected a name that ends in .png or .svg, got {}: change the name",
                path.display()
            ),
        };
        if let Err(err) = fs::write(path, file) {
            bail!("Figure::save: cannot write {} ({err}): choose another path", path.display());
        }
        Ok(())
    }

    /// Shows the figure in a notebook at once. A kernel without the project's patches shows it when
    /// the cell ends, and of several figures the last one.
    ///
    /// # Errors
    /// If a text has letters that the font lacks.
    pub fn show(&self) -> Result<()> {
        kernel::show(&self.formats()?);
        Ok(())
    }

    /// Called by the kernel for the last line of a cell.
    pub fn evcxr_display(&self) {
        if let Err(err) = self.show() {
            eprintln!("{err}");
        }
    }

    /// The figure as HTML, and as PNG for front ends that do not show HTML.
    pub(crate) fn formats(&self) -> Result<Formats> {
        let (width, _) = self.size(1);
        let png = BASE64.encode(self.png()?);
        let alt = escaped(&self.alt_text());
        let html = format!(
            "<img src='data:image/png;base64,{png}' width='{width}' alt='{alt}' \
             style='max-width: 100%; height: auto'>"
        );
        Ok(Formats::from([("text/html", html), ("image/png", png)]))
    }

    /// A description of the figure for readers who cannot see it.
    pub fn alt_text(&self) -> String {
        let panels = self.frames.last().into_iter().flatten();
        let all = std::iter::once(self.title.clone()).chain(panels.map(Panel::alt_text));
        let all: Vec<String> = all.filter(|part| !part.is_empty()).collect();
        all.join("; ")
    }

    /// Width and height, with `scale` pixels for each CSS pixel of the page.
    fn size(&self, scale: u32) -> (u32, u32) {
        let (width, height) = self.inches;
        ((width * PIXELS_PER_INCH) as u32 * scale, (height * PIXELS_PER_INCH) as u32 * scale)
    }

    /// RGB pixels, twice the figure's size each way.
    fn pixels(&self, panels: &[Panel]) -> Result<Vec<u8>> {
        let (width, height) = self.size(SCALE);
        let mut pixels = vec![255; (width * height * 3) as usize];
        let backend = BitMapBackend::with_buffer(&mut pixels, (width, height));
        self.draw(panels, canvas::Canvas(backend))?;
        Ok(canvas::halve(&pixels, width as usize))
    }

    fn draw<DB: DrawingBackend>(&self, panels: &[Panel], backend: DB) -> Result<()> {
        let texts = panels.iter().flat_map(Panel::texts);
        for text in texts.chain([&self.title]) {
            let missing = missing_letters(text);
            if !missing.is_empty() {
                bail!(
                    "cannot draw the text {text:?}: the font {FONT} has no {missing:?}: write it in \
                     other letters, such as Latin, Greek or Cyrillic"
                );
            }
        }
        self.draw_on(panels, &backend.into_drawing_area())
            .map_err(|err| Error::Msg(format!("cannot draw the figure: {err}")))
    }

    fn draw_on<DB: DrawingBackend>(&self, panels: &[Panel], root: &Area<DB>) -> DrawResult<DB> {
        root.fill(&WHITE)?;
        let mut page = root.margin(px(8.0), 0, 0, 0);
        if !self.title.is_empty() {
            page = draw_title(&page, &self.title, BASE * 1.1)?;
        }
        let areas = page.split_evenly((self.n_rows, self.n_columns));
        let rows = panels.chunks(self.n_columns);
        for (row, areas) in rows.zip(areas.chunks(self.n_columns)) {
            let has_titles = row.iter().any(|panel| !panel.title.is_empty());
            for (panel, area) in row.iter().zip(areas) {
                let mut area = area.margin(0, px(BASE), px(BASE / 2.0), px(BASE / 2.0));
                if has_titles {
                    area = draw_title(&area, &panel.title, BASE)?;
                }
                draw_panel(&area, panel)?;
            }
        }
        root.present()
    }
}

/// Escapes a text for HTML and XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// The attributes and the text of all SVG elements with a name.
    fn elements<'a>(svg: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
        let tag = format!("<{name}");
        let element = |rest: &'a str| {
            let (attributes, rest) = rest.split_once('>').unwrap();
            (attributes, rest.split('<').next().unwrap().trim())
        };
        svg.split(&tag).skip(1).map(element).collect()
    }

    fn attribute<'a>(attributes: &'a str, name: &str) -> &'a str {
        let found = attributes.split_once(&format!(" {name}=\""));
        found.map_or("", |(_, rest)| rest.split('"').next().unwrap())
    }

    fn number(attributes: &str, name: &str) -> f64 {
        attribute(attributes, name).parse().unwrap()
    }

    /// The texts of an SVG file and where they are: left, top, right, bottom.
    fn texts(svg: &str) -> Vec<(&str, [f64; 4])> {
        let place = |(attributes, text)| {
            let [x, y, size] = ["x", "y", "font-size"].map(|name| number(attributes, name));
            let font = style::font(size * 1.24 / 2384.0 * 2048.0 / f64::from(SCALE));
            let width = f64::from(style::text_width(text, &font));
            let left = match attribute(attributes, "text-anchor") {
                "start" => 0.0,
                "middle" => -width / 2.0,
                _ => -width,
            };
            // From the top of capitals to the baseline.
            let bottom = match attribute(attributes, "dy") {
                "0.76em" => 0.76 * size,
                "0.5ex" => 0.27 * size,
                _ => -0.27 * size,
            };
            let (top, right) = (bottom - 0.73 * size, left + width);
            if attribute(attributes, "transform").starts_with("rotate(270") {
                (text, [x + top, y - right, x + bottom, y - left])
            } else {
                (text, [x + left, y + top, x + right, y + bottom])
            }
        };
        let all = elements(svg, "text").into_iter().map(place);
        all.filter(|(text, _)| !text.is_empty()).collect()
    }

    fn matrix_of(n_rows: usize, n_columns: usize) -> Tensor {
        let values: Vec<f32> = (0..n_rows * n_columns).map(|i| (i as f32).sin()).collect();
        Tensor::from_vec(values, (n_rows, n_columns), &Device::Cpu).unwrap()
    }

    /// Figures with labels that are hard to place and values that are hard to plot.
    fn tricky_figures() -> Vec<Figure> {
        let label = "a label that is much longer than the axis that it belongs to, or any other";
        let name = "a name that is far too long for its figure";
        let values: &[(&[f64], &[f64])] = &[
            (&[], &[]),
            (&[5.0], &[5.0]),
            (&[0.0, 1.0], &[2.0, 2.0]),
            (&[f64::NAN, 1.0], &[1.0, f64::INFINITY]),
            (&[-3e-12, 1e-12], &[-1e30, 1e30]),
            (&[123_456.0, 123_457.0], &[-0.001, 0.0012]),
            (&[1e300, 1.1e300], &[1e-300, 2e-300]),
            (&[0.0, 5e-324], &[5e-324, 1.0]),
            (&[f64::MIN, f64::MAX], &[f64::MIN_POSITIVE, f64::MAX]),
        ];
        let line = |(x, y): &(&[f64], &[f64])| axes(label, label).line(name, x, y).unwrap();
        let bar = |(x, y): &(&[f64], &[f64])| axes("", "").bars("bar", x, y).unwrap();
        let mut figures: Vec<Figure> = values.iter().map(line).collect();
        let grid = |n_columns| {
            let empty = figure(1, n_columns);
            figures.iter().fold(empty, |grid, figure| grid.with(figure))
        };
        let resp = matrix_of(4, 300);
        let stimuli = matrix_of(4, 1);
        let more = [
            grid(2),
            grid(3).title(&[label; 2].concat()),
            grid(3).log_scale(),
            figure(1, 2)
                .with(plot_data_matrix(&resp).unwrap())
                .with(plot_tuning_curves(&resp, &stimuli, &[0, 1, 2]).unwrap()),
            plot_grating(30.0).title("30°"),
            plot_weights(&(&resp * 1e-9).unwrap()).unwrap(),
            plot_confusion(&[0, 1, 2, 3], &[1, 1, 2, 0], 4).unwrap(),
            plot_decoding_error(&stimuli, &stimuli).unwrap(),
            plot_network(),
            figure(2, 3).with(plot_network()).with(plot_gradient_descent()).with(plot_network()),
            plot_gradient_descent(),
            plot_train_and_test_loss(&[1e9; 2000], &[f32::NAN]).unwrap(),
        ];
        figures.extend(more);
        figures.extend(values.iter().map(bar));
        figures
    }

    #[test]
    fn labels_are_neither_cut_off_nor_on_top_of_each_other() {
        for figure in tricky_figures() {
            let (svg, alt) = (figure.svg().unwrap(), figure.alt_text());
            let (width, height) = figure.size(SCALE);
            let texts = texts(&svg);
            assert!(!texts.is_empty());
            for (i, (text, [left, top, right, bottom])) in texts.iter().enumerate() {
                let is_inside = left.min(*top) >= 0.0
                    && *right <= f64::from(width)
                    && *bottom <= f64::from(height);
                assert!(is_inside, "{text:?} is cut off in {alt}");
                for (other, place) in &texts[..i] {
                    let is_beside = left + 2.0 >= place[2] || place[0] + 2.0 >= *right;
                    let is_apart = is_beside || *top >= place[3] || place[1] >= *bottom;
                    assert!(is_apart, "{text:?} and {other:?} overlap in {alt}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_drawn_at_the_edge_of_the_page() {
        for figure in tricky_figures() {
            let pixels = figure.pixels(figure.frames.last().unwrap()).unwrap();
            let row_bytes = figure.size(2).0 as usize * 3;
            let rows: Vec<&[u8]> = pixels.chunks(row_bytes).collect();
            let sides = rows.iter().flat_map(|row| [&row[..3], &row[row_bytes - 3..]]);
            let mut edge = sides.chain([rows[0], rows[rows.len() - 1]]).flatten();
            assert!(edge.all(|value| *value == 255), "{}", figure.alt_text());
            assert!(pixels.iter().any(|value| *value != 255));
        }
    }

    #[test]
    fn logarithmic_scale_leaves_out_values_without_logarithm() {
        let losses = plot_train_loss(&[100.0, 0.0, -1.0, 10.0, 1.0]).unwrap();
        let svg = losses.log_scale().svg().unwrap();
        let lines = elements(&svg, "polyline").into_iter();
        let curves = lines.filter(|(line, _)| attribute(line, "stroke") == "#0072B2");
        let lengths: Vec<usize> =
            curves.map(|(line, _)| attribute(line, "points").split_whitespace().count()).collect();
        let n_circles = elements(&svg, "circle").len();
        assert_eq!((lengths, n_circles), (vec![2], 1), "10 to 1 is a line, 100 a point");
    }

    #[test]
    fn legend_of_bars_is_above_the_bars() {
        for n_series in [1, 3, 12] {
            let bar = |figure: Figure| figure.bars("name", &[0, 1], &[1, 2]).unwrap();
            let bars = (0..n_series).fold(axes("", ""), |figure, _| bar(figure));
            let svg = figure(2, 3).with(bars).svg().unwrap();
            let names = texts(&svg).into_iter().filter(|(text, _)| *text == "name");
            let bottom = names.map(|(_, place)| place[3]).fold(0.0, f64::max);
            let bars = elements(&svg, "rect").into_iter().skip(1).take(2 * n_series);
            let top = bars.map(|(rect, _)| number(rect, "y")).fold(f64::MAX, f64::min);
            assert!(0.0 < bottom && bottom < top, "{bottom} {top}");
        }
    }

    #[test]
    fn text_with_letters_that_the_font_lacks_is_an_error() {
        let axes_of = |label| axes(label, "").line("", &[0], &[0]).unwrap();
        for figure in [
            axes_of("角度 (°)"),
            axes_of("").title("角度 (°)"),
            figure(1, 1).with(axes_of("").title("角度 (°)")).with(axes_of("")),
            axes_of("").line("角度 (°)", &[0], &[0]).unwrap(),
            plot_matrix(&matrix_of(2, 2), "", "", "角度 (°)").unwrap(),
        ] {
            let expected =
                "cannot draw the text \"角度 (°)\": the font DejaVu Sans has no ['角', '度']";
            for error in [figure.png().unwrap_err(), figure.svg().unwrap_err()] {
                assert!(error.to_string().starts_with(expected), "{error}");
            }
        }
        axes_of("Ориентация, κλίση, Größe ×10⁻³").png().unwrap();
    }

    #[test]
    fn debug_of_a_figure_is_one_line() {
        let figure = figure(1, 2).title("title");
        let expected = "Figure { \"title\" }: add ? after the call to see it";
        assert_eq!(format!("{figure:?}"), expected);
        assert_eq!(format!("{figure:#?}"), expected);
    }

    #[test]
    fn heat_map_cells_have_their_colors() {
        let resp = Tensor::new(&[[0f32, 1.0], [f32::NAN, 0.5]], &Device::Cpu).unwrap();
        let weights = Tensor::new(&[[-2f32, 0.0, 2.0]], &Device::Cpu).unwrap();
        let responses = plot_data_matrix(&resp).unwrap();
        let weights = plot_weights(&weights).unwrap();
        for (figure, x, y, expected) in [
            (&responses, 300, 300, PINK.at(0.0)),
            (&responses, 800, 300, PINK.at(1.0)),
            (&responses, 300, 700, RGBColor(120, 160, 200)), // NaN
            (&responses, 800, 700, PINK.at(0.5)),
            (&weights, 250, 480, RGBColor(0, 0, 255)),
            (&weights, 550, 480, RGBColor(255, 254, 254)),
            (&weights, 850, 480, RGBColor(255, 0, 0)),
        ] {
            let pixels = figure.pixels(&figure.frames[0]).unwrap();
            let i = (y * 1280 + x) * 3;
            let got = RGBColor(pixels[i], pixels[i + 1], pixels[i + 2]);
            assert_eq!(got, expected, "{}, at {x}, {y}", figure.alt_text());
        }
    }

    #[test]
    fn file_name_decides_the_format() {
        let dir = tempfile::tempdir().unwrap();
        let curves = plot_tuning_curves(&matrix_of(4, 3), &matrix_of(4, 1), &[0, 2]).unwrap();
        let figure = figure(1, 2).with(plot_data_matrix(&matrix_of(3, 4)).unwrap()).with(curves);
        let figure = figure.title("3 neurons in response to 4 stimuli");
        let (png, svg) = (dir.path().join("a.png"), dir.path().join("a.SVG"));
        figure.save(&png).unwrap();
        figure.save(&svg).unwrap();
        let file = fs::File::open(png).unwrap();
        let reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (1920, 800));
        let svg = fs::read_to_string(svg).unwrap();
        assert!(svg.starts_with("<svg width=\"960\" height=\"400\""));
        assert!(svg.contains("<title>3 neurons in response to 4 stimuli; heat map"));
        assert!(svg.contains("stimulus orientation (°)"));
        assert!(svg.trim_end().ends_with("</svg>"));
        let escaped = plot_network().title("1 < 2 & 'so on'").svg().unwrap();
        assert!(escaped.contains("<title>1 &lt; 2 &amp; &#39;so on&#39;; diagram"));
        let error = figure.save(dir.path().join("a.jpg")).unwrap_err().to_string();
        assert!(error.contains("expected a name that ends in .png or .svg"), "{error}");
    }

    #[test]
    fn alt_text_describes_the_figure() {
        let loss = plot_train_loss(&[44_700.4, 2.0, f32::NAN]).unwrap().title("a < b");
        assert_eq!(
            loss.alt_text(),
            "a < b; mean squared error against iterations of gradient descent, line with x from 0 \
             to 2 and y from 2 to 44700"
        );
        let resp = Tensor::new(&[[0f32, 1.0]], &Device::Cpu).unwrap();
        let expected = "heat map of normalized neural response, 1 rows by 2 columns, colors from \
             0.01 to 0.99";
        assert_eq!(plot_data_matrix(&resp).unwrap().alt_text(), expected);
    }

    #[test]
    fn alt_text_with_quotes_is_escaped_in_html() {
        let formats = plot_network().title("a 'b' \"c\"").formats().unwrap();
        let html = &formats["text/html"];
        assert!(html.contains(" alt='a &#39;b&#39; &quot;c&quot;; "), "{html}");
        assert!(html.contains(&formats["image/png"]));
    }

    #[test]
    fn title_says_simulated_for_simulated_data_only() {
        let figure = plot_data_matrix(&matrix_of(4, 3)).unwrap().title("4 stimuli");
        assert_eq!(figure.of(Source::Recording).title, "4 stimuli");
        let simulated = Source::Simulated { seed: 1 };
        assert_eq!(figure.of(simulated).title, "4 stimuli (simulated)");
        let figure = plot_train_loss(&[1.0]).unwrap();
        assert_eq!(figure.of(simulated).title, "simulated recording");
    }

    #[test]
    fn wrong_arguments_are_an_error() {
        let resp = matrix_of(4, 3);
        let stimuli = matrix_of(4, 1);
        for (figure, expected) in [
            (plot_tuning_curves(&resp, &resp, &[0]), "orientations of shape (4, 1), got [4, 3]"),
            (plot_tuning_curves(&resp, &stimuli, &[3]), "neurons below 3, got 3"),
            (plot_data_matrix(&resp.flatten_all().unwrap()), "got shape [12]"),
            (plot_confusion(&[0, 1], &[0], 2), "got 2 and 1"),
            (plot_confusion(&[0, 2], &[0, 1], 2), "classes from 0 to below 2, got 2"),
            (plot_decoded(&resp, &stimuli), "got 4 and 12"),
            (plot_network().line("", &[0], &[0]), "expected axes"),
        ] {
            let error = figure.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn animation_has_a_frame_with_a_title_for_each_figure() {
        let frame = |title: &str| plot_train_loss(&[1.0]).unwrap().title(title);
        let animated = animation(&[frame("epoch 1"), frame("epoch 2")]);
        let titles: Vec<&str> = animated.frames.iter().map(|panels| &*panels[0].title).collect();
        assert_eq!(titles, ["epoch 1", "epoch 2"]);
    }

    #[test]
    fn full_figure_gets_another_row() {
        let one = plot_train_loss(&[1.0]).unwrap();
        let three = figure(1, 2).with(&one).with(&one).with(&one);
        assert_eq!((three.n_rows, three.frames[0].len()), (2, 3));
        assert_eq!(three.size(1), (960, 672));
    }
}
