//! The contents of a figure, and their alt text.

use super::color::ColorMap;
use super::scale::{Scale, extent};

/// One pair of axes or one diagram.
#[derive(Clone)]
pub struct Panel {
    pub title: String,
    pub content: Content,
}

#[derive(Clone)]
pub enum Content {
    Axes(Axes),
    HeatMap(HeatMap),
    /// The network of section 2.
    Network,
    /// Stripes at an angle in degrees.
    Grating(f64),
    /// The weight at one step of gradient descent on a parabola, and the steps before it.
    Descent(Vec<f64>),
}

#[derive(Clone, Default)]
pub struct Axes {
    pub x_label: String,
    pub y_label: String,
    /// `None`: as many as there is room for.
    pub x_ticks: Option<Vec<f64>>,
    pub y_ticks: Option<Vec<f64>>,
    /// Both axes start at zero.
    pub from_zero: bool,
    pub logarithmic: bool,
    pub series: Vec<Series>,
}

#[derive(Clone)]
pub struct Series {
    /// Empty for none.
    pub name: String,
    pub kind: Kind,
    pub x: Vec<f64>,
    pub y: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Line,
    Points,
    /// Stacked on the bars of earlier series.
    Bars,
    /// A dashed line to compare with.
    Reference,
}

#[derive(Clone)]
pub struct HeatMap {
    /// Row by row, the first row on top.
    pub values: Vec<f32>,
    pub n_columns: usize,
    pub x_label: String,
    pub y_label: String,
    pub color_label: String,
    pub colors: &'static ColorMap,
    /// The values of the first and the last color.
    pub limits: (f64, f64),
    /// Whether rows and columns have ticks.
    pub has_ticks: bool,
}

impl Axes {
    pub fn x_scale(&self) -> Scale {
        let values = || self.series.iter().flat_map(|series| &series.x).copied();
        let ticks = self.x_ticks.clone();
        let scale = if self.has_bars() {
            let (low, high) = extent(values());
            let margin = self.bar_width() * 0.75;
            Scale::linear(low - margin, high + margin)
        } else if self.from_zero {
            Scale::from_zero(values())
        } else if let Some(ticks) = &ticks {
            // Given ticks also give a range.
            let (low, high) = extent(values().chain(ticks.iter().copied()));
            Scale::linear(low, high)
        } else {
            Scale::around(values(), false)
        };
        let integer = values().all(|x| x.fract() == 0.0);
        Scale { label: self.x_label.clone(), integer, ticks, ..scale }
    }

    pub fn y_scale(&self) -> Scale {
        let ticks = self.y_ticks.iter().flatten().copied();
        let tops = (0..self.series.len()).flat_map(|i| self.stacked(i));
        let values = tops.map(|(_, top)| top).chain(ticks);
        let scale = if (self.from_zero || self.has_bars()) && !self.logarithmic {
            Scale::from_zero(values)
        } else {
            Scale::around(values, self.logarithmic)
        };
        Scale { label: self.y_label.clone(), ticks: self.y_ticks.clone(), ..scale }
    }

    /// The number of a series among those that have a color and a marker.
    pub fn number(&self, i: usize) -> usize {
        let is_curve = |series: &&Series| series.kind != Kind::Reference;
        self.series[..i].iter().filter(is_curve).count()
    }

    pub fn has_bars(&self) -> bool {
        self.series.iter().any(|series| series.kind == Kind::Bars)
    }

    /// Four fifths of the smallest distance between two bars.
    pub fn bar_width(&self) -> f64 {
        let bars = self.series.iter().filter(|series| series.kind == Kind::Bars);
        let mut x: Vec<f64> = bars.flat_map(|series| series.x.clone()).collect();
        x.sort_by(f64::total_cmp);
        let gaps = x.windows(2).map(|pair| pair[1] - pair[0]);
        let least = gaps.filter(|gap| *gap > 0.0).fold(f64::INFINITY, f64::min);
        0.8 * if least.is_finite() { least } else { 1.0 }
    }

    /// The bottom and the top of each value: bars are stacked, others begin at zero.
    pub fn stacked(&self, i: usize) -> Vec<(f64, f64)> {
        let series = &self.series[i];
        let is_below = |before: &&Series| series.kind == Kind::Bars && before.kind == Kind::Bars;
        let bottom = |k: usize| {
            let before = self.series[..i].iter().filter(is_below);
            before.filter_map(|before| before.y.get(k)).sum::<f64>()
        };
        let values = series.y.iter().enumerate();
        values.map(|(k, y)| (bottom(k), bottom(k) + y)).collect()
    }

    fn alt_text(&self) -> String {
        let mut text = format!("{} against {}", self.y_label, self.x_label);
        for Series { name, kind, x, y } in &self.series {
            let kind = match kind {
                Kind::Line => "line",
                Kind::Points => "points",
                Kind::Bars => "bars",
                Kind::Reference => "dashed line",
            };
            let space = if name.is_empty() { "" } else { " " };
            let (x, y) = (describe_range(x), describe_range(y));
            text += &format!(", {kind}{space}{name} with x from {x} and y from {y}");
        }
        text + if self.logarithmic { ", logarithmic" } else { "" }
    }
}

impl Panel {
    /// The texts that the user has given.
    pub fn texts(&self) -> Vec<&String> {
        let mut texts = vec![&self.title];
        match &self.content {
            Content::Axes(axes) => {
                texts.extend([&axes.x_label, &axes.y_label]);
                texts.extend(axes.series.iter().map(|series| &series.name));
            }
            Content::HeatMap(map) => texts.extend([&map.x_label, &map.y_label, &map.color_label]),
            Content::Network | Content::Grating(_) | Content::Descent(_) => {}
        }
        texts
    }

    /// A description for readers who cannot see the figure.
    pub fn alt_text(&self) -> String {
        let title = if self.title.is_empty() { "" } else { ": " };
        let content = match &self.content {
            Content::Axes(axes) => axes.alt_text(),
            Content::HeatMap(HeatMap { values, n_columns, color_label, limits, .. }) => {
                let n_rows = values.len() / n_columns;
                let colors = describe_range(&[limits.0, limits.1]);
                format!(
                    "heat map of {color_label}, {n_rows} rows by {n_columns} columns, colors from \
                     {colors}"
                )
            }
            Content::Network => "diagram of a network: neural responses r1 to rN, each connected \
                                 to hidden units h1 to hM, these to the decoded orientation y"
                .into(),
            Content::Grating(ori) => {
                format!("grating: black and white stripes at {ori} degrees from horizontal")
            }
            Content::Descent(path) => format!(
                "animation of gradient descent on the parabola L = w^2: {} steps from the right \
                 side, each smaller than the last, towards the minimum",
                path.len() - 1
            ),
        };
        format!("{}{title}{content}", self.title)
    }
}

fn describe_range(values: &[f64]) -> String {
    let short = |x: f64| {
        let rounded: f64 = format!("{x:.2e}").parse().unwrap_or(x);
        match x.abs() {
            0.0 | 1e-3..1e6 => rounded.to_string(),
            _ => format!("{rounded:e}"),
        }
    };
    match extent(values.iter().copied()) {
        (low, high) if low > high => "nothing".into(),
        (low, high) => format!("{} to {}", short(low), short(high)),
    }
}
