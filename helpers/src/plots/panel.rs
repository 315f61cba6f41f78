//! What one part of a figure shows.

use super::colour::ColourMap;
use super::ticks::{Range, extent};

/// One pair of axes or one diagram.
#[derive(Clone, Debug)]
pub struct Panel {
    pub title: String,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    Axes(Axes),
    HeatMap(HeatMap),
    /// The network of section 2.
    Network,
    /// The weight at one step of gradient descent on a parabola, and the steps before it.
    Descent(Vec<f64>),
}

#[derive(Clone, Debug, Default)]
pub struct Axes {
    pub x_label: String,
    pub y_label: String,
    /// Chosen by the range where there are none.
    pub x_ticks: Vec<f64>,
    pub y_ticks: Vec<f64>,
    /// Both axes start at zero.
    pub from_zero: bool,
    pub logarithmic: bool,
    pub series: Vec<Series>,
}

#[derive(Clone, Debug)]
pub struct Series {
    /// Empty for none.
    pub name: String,
    pub kind: Kind,
    pub x: Vec<f64>,
    pub y: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Line,
    Points,
    /// On top of those before.
    Bars,
    /// A dashed line to compare with.
    Reference,
}

#[derive(Clone, Debug)]
pub struct HeatMap {
    /// Row by row, the first on top.
    pub values: Vec<f32>,
    pub n_columns: usize,
    pub x_label: String,
    pub y_label: String,
    pub colour_label: String,
    pub colours: &'static ColourMap,
    /// The values of the first and the last colour.
    pub limits: (f64, f64),
    /// Whether rows and columns are numbered.
    pub numbered: bool,
}

impl Axes {
    pub fn x_range(&self) -> Range {
        let values = || self.series.iter().flat_map(|series| &series.x).copied();
        let range = if self.has_bars() {
            let room = self.bar_width() * 0.75;
            let (low, high) = extent(values());
            Range::linear(low - room, high + room)
        } else if self.from_zero {
            Range::from_zero(values())
        } else if self.x_ticks.is_empty() {
            Range::around(values(), false)
        } else {
            // Ticks of one's own stand for a range of one's own.
            let (low, high) = extent(values().chain(self.x_ticks.iter().copied()));
            Range::linear(low, high)
        };
        Range {
            whole: values().all(|x| x.fract() == 0.0),
            ..range
        }
    }

    pub fn y_range(&self) -> Range {
        let ticks = self.y_ticks.iter().copied();
        let tops = (0..self.series.len()).flat_map(|i| self.tops(i));
        let values = tops.map(|(_, top)| top).chain(ticks);
        let logarithmic = self.logarithmic;
        match (self.from_zero || self.has_bars()) && !logarithmic {
            true => Range::from_zero(values),
            false => Range::around(values, logarithmic),
        }
    }

    pub fn has_bars(&self) -> bool {
        self.series.iter().any(|series| series.kind == Kind::Bars)
    }

    /// Four fifths of the least distance between two bars.
    pub fn bar_width(&self) -> f64 {
        let mut x: Vec<f64> = self
            .series
            .iter()
            .filter(|series| series.kind == Kind::Bars)
            .flat_map(|series| series.x.iter().copied())
            .collect();
        x.sort_by(f64::total_cmp);
        let gaps = x.windows(2).map(|pair| pair[1] - pair[0]);
        let least = gaps.filter(|gap| *gap > 0.0).fold(f64::INFINITY, f64::min);
        0.8 * if least.is_finite() { least } else { 1.0 }
    }

    /// Where a series' values begin and end: bars on top of those before, others at zero.
    pub fn tops(&self, i: usize) -> Vec<(f64, f64)> {
        let series = &self.series[i];
        let stacked = |before: &&Series| series.kind == Kind::Bars && before.kind == Kind::Bars;
        let bottom = |k: usize| {
            let before = self.series[..i].iter().filter(stacked);
            before.filter_map(|before| before.y.get(k)).sum::<f64>()
        };
        let values = series.y.iter().enumerate();
        values.map(|(k, y)| (bottom(k), bottom(k) + y)).collect()
    }
}

impl Panel {
    /// What is seen, for those who cannot see it.
    pub fn alt_text(&self) -> String {
        let what = match &self.content {
            Content::Axes(axes) => axes.alt_text(),
            Content::HeatMap(map) => map.alt_text(),
            Content::Network => "diagram of a network: neural responses r1 to rN, each connected \
                                 to hidden units h1 to hM, these to the decoded orientation y"
                .into(),
            Content::Descent(path) => format!(
                "animation of gradient descent on the parabola L = w^2: {} steps from the right \
                 side, ever smaller, towards the minimum",
                path.len() - 1
            ),
        };
        match self.title.as_str() {
            "" => what,
            title => format!("{title}: {what}"),
        }
    }
}

impl Axes {
    fn alt_text(&self) -> String {
        let mut text = format!("{} against {}", self.y_label, self.x_label);
        for series in &self.series {
            let what = match series.kind {
                Kind::Line => "line",
                Kind::Points => "points",
                Kind::Bars => "bars",
                Kind::Reference => "dashed line",
            };
            let name = match series.name.as_str() {
                "" => String::new(),
                name => format!(" {name}"),
            };
            text += &format!(
                ", {what}{name} with x from {} and y from {}",
                range_in_words(series.x.iter().copied()),
                range_in_words(series.y.iter().copied())
            );
        }
        if self.logarithmic {
            text += ", logarithmic";
        }
        text
    }
}

impl HeatMap {
    fn alt_text(&self) -> String {
        let named = |label: &str| match label {
            "" => String::new(),
            label => format!(" ({label})"),
        };
        format!(
            "heat map of {}, {} rows{} by {} columns{}, colours from {}",
            self.colour_label,
            self.values.len() / self.n_columns,
            named(&self.y_label),
            self.n_columns,
            named(&self.x_label),
            range_in_words([self.limits.0, self.limits.1].into_iter())
        )
    }
}

fn range_in_words(values: impl Iterator<Item = f64>) -> String {
    let short = |x: f64| match x.abs() {
        0.0 => "0".to_owned(),
        size if (1e-3..1e6).contains(&size) => {
            let digits = (2 - size.log10().floor() as i32).max(0) as usize;
            let text = format!("{x:.digits$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
        _ => format!("{x:.2e}"),
    };
    match extent(values) {
        (low, high) if low > high => "nothing".into(),
        (low, high) => format!("{} to {}", short(low), short(high)),
    }
}
