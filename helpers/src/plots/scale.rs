//! The scale of an axis: its range, ticks and tick labels. plotters has its own, but its ticks are
//! `-5.55e-17` for 0, its labels `45000.0`, and its logarithmic axes lack ticks within a decade.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::style::TextStyle;

use super::style::{BASE, TICK, px, text_width};

/// The range of an axis, linear or logarithmic, and its ticks.
#[derive(Clone, Default)]
pub struct Scale {
    pub label: String,
    pub low: f64,
    pub high: f64,
    pub logarithmic: bool,
    /// Only integers have a meaning, such as the numbers of rows.
    pub integer: bool,
    /// `None`: chosen by [`Scale::ticked`].
    pub ticks: Option<Vec<f64>>,
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        start + (self.normalize(*value).clamp(0.0, 1.0) * f64::from(end - start)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone().unwrap_or_default()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Scale {
    /// All ticks of an axis have the same number of digits. On a logarithmic axis with several
    /// powers of ten, these alone have labels.
    fn format_ext(&self, tick: &f64) -> String {
        let is_power = |x: f64| (x.log10() - x.log10().round()).abs() < 1e-9;
        if self.logarithmic && self.ticks().filter(|x| is_power(*x)).count() > 1 {
            let label = || format!("10{}", superscript(tick.log10().round() as i32));
            return if is_power(*tick) { label() } else { String::new() };
        }
        let unit = 10f64.powf(f64::from(self.exponent()));
        let rounded = |x: f64, n_digits: usize| {
            let shift = 10f64.powi(n_digits as i32);
            (x / unit * shift).round() / shift
        };
        let exact = |n: &usize| self.ticks().all(|x| (rounded(x, *n) - x / unit).abs() < 1e-7);
        let n_digits = (0..9).find(exact).unwrap_or(9);
        let tick = rounded(*tick, n_digits) + 0.0; // no minus before zero
        format!("{tick:.n_digits$}").replace('-', "\u{2212}")
    }
}

impl Scale {
    pub fn linear(low: f64, high: f64) -> Self {
        Self { low, high, ..Self::default() }
    }

    /// The range of the finite values (on a logarithmic axis, of those above 0) with a margin of a
    /// twentieth on either side.
    pub fn around(values: impl Iterator<Item = f64>, logarithmic: bool) -> Self {
        // Subnormal numbers, next to 0, are left out: their inverses are infinite.
        let (low, high) = extent(values.filter(|x| !logarithmic || *x >= f64::MIN_POSITIVE));
        if low > high {
            let low = if logarithmic { 0.1 } else { 0.0 };
            return Self::around([low, 1.0].into_iter(), logarithmic);
        }
        if logarithmic {
            let margin = 10f64.powf(((high.log10() - low.log10()) * 0.05).max(0.02));
            let low = (low / margin).max(f64::MIN_POSITIVE);
            let high = (high * margin).min(f64::MAX);
            return Self { logarithmic, ..Self::linear(low, high) };
        }
        let margin = match high - low {
            0.0 if high == 0.0 => 0.5,
            0.0 => high.abs() * 0.1,
            width => width * 0.05,
        };
        Self::linear(low - margin, high + margin)
    }

    /// From zero, or from the lowest value if that is below zero, to a little above the highest.
    pub fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = extent(values.chain([0.0]));
        let high = if high > low { high } else { low + 1.0 };
        Self::linear(low, high + (high - low) * 0.05)
    }

    /// Extends the high end, so that this fraction of the axis is free.
    pub fn with_headroom(mut self, fraction: f64) -> Self {
        let [low, high] = [self.low, self.high].map(|end| self.place(end));
        let high = low + (high - low) / (1.0 - fraction);
        self.high = if self.logarithmic { 10f64.powf(high).min(f64::MAX) } else { high };
        self
    }

    /// Maps the low end to 0 and the high end to 1.
    pub fn normalize(&self, value: f64) -> f64 {
        let [value, low, high] = [value, self.low, self.high].map(|x| self.place(x));
        (value - low) / (high - low)
    }

    /// What grows evenly along the axis: the value, or its logarithm.
    fn place(&self, value: f64) -> f64 {
        if self.logarithmic { value.log10() } else { value }
    }

    pub fn contains(&self, value: f64) -> bool {
        (-1e-9..=1.0 + 1e-9).contains(&self.normalize(value))
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        self.ticks.iter().flatten().copied()
    }

    /// Chooses about `n` ticks at round numbers, at most; does nothing if ticks are given.
    pub fn ticked(mut self, n: i32) -> Self {
        let n = n.clamp(1, 9) as usize;
        if self.ticks.is_none() {
            self.ticks = Some(if self.logarithmic { self.powers(n) } else { self.steps(n) });
        }
        self
    }

    fn steps(&self, n: usize) -> Vec<f64> {
        let (low, high) = (self.low.min(self.high), self.low.max(self.high));
        let least = (high - low) / n as f64;
        let unit = 10f64.powf(least.log10().floor());
        if !unit.is_normal() {
            return Vec::new(); // too narrow or too wide for f64
        }
        let fits =
            |step: &f64| *step >= least * (1.0 - 1e-9) && (!self.integer || step.fract() == 0.0);
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * unit);
        let step = steps.into_iter().find(fits).unwrap_or(1.0);
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }

    /// Powers of ten and their multiples; steps where less than two multiples are in the range.
    fn powers(&self, n: usize) -> Vec<f64> {
        let [low, high] = [self.low, self.high].map(|end| end.log10().floor() as i32);
        let multiples = |factors: &[f64]| -> Vec<f64> {
            let powers = (low..=high).map(|power| 10f64.powi(power));
            let all = powers.flat_map(|power| factors.iter().map(move |factor| factor * power));
            all.filter(|x| self.contains(*x)).collect()
        };
        let (powers, one_two_five) = (multiples(&[1.0]), multiples(&[1.0, 2.0, 5.0]));
        if powers.len() > n {
            let every = powers.len().div_ceil(n);
            powers.into_iter().step_by(every).collect()
        } else if powers.len() > 1 {
            multiples(&[1., 2., 3., 4., 5., 6., 7., 8., 9.])
        } else if one_two_five.len() > 1 {
            one_two_five
        } else {
            self.steps(n)
        }
    }

    /// The power of ten that is written once, after the axis label, instead of in each tick label.
    fn exponent(&self) -> i32 {
        match self.ticks().fold(0f64, |largest, x| largest.max(x.abs())) {
            0.0 => 0,
            x if self.logarithmic || (1e-3..1e6).contains(&x) => 0,
            x => x.log10().floor() as i32,
        }
    }

    /// The axis label.
    pub fn description(&self) -> String {
        match self.exponent() {
            0 => self.label.clone(),
            n => format!("{} ×10{}", self.label, superscript(n)).trim_start().into(),
        }
    }

    /// The width of the widest tick label, in pixels drawn.
    pub fn max_label_width(&self, font: &TextStyle) -> i32 {
        let widths = self.ticks().map(|x| text_width(&self.format_ext(&x), font));
        widths.max().unwrap_or(0)
    }

    /// The space for ticks, tick labels of this width or height, and the axis label.
    pub fn label_area(&self, tick_label: i32) -> i32 {
        let has_ticks = self.ticks.as_deref() != Some(&[]);
        let ticks = px(TICK) + i32::from(has_ticks) * (px(TICK) + tick_label);
        let has_label = !self.description().is_empty();
        ticks + i32::from(has_label) * px(BASE * 1.6)
    }
}

/// The lowest and the highest of the finite values; infinity and minus infinity if there are none.
pub fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|x| x.is_finite());
    let empty = (f64::INFINITY, f64::NEG_INFINITY);
    finite.fold(empty, |(low, high), x| (low.min(x), high.max(x)))
}

fn superscript(exponent: i32) -> String {
    let raise = |c: char| match c.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => '⁻',
    };
    exponent.to_string().chars().map(raise).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale, n: i32) -> String {
        let scale = scale.clone().ticked(n);
        let labels = scale.ticks().map(|x| scale.format_ext(&x));
        let labels: Vec<String> = labels.filter(|label| !label.is_empty()).collect();
        format!("{} {}", labels.join(" "), scale.description()).trim().to_owned()
    }

    #[test]
    fn ticks_are_round_numbers_with_as_many_digits_as_they_need() {
        for (values, expected) in [
            (&[0.0, 360.0][..], "0 100 200 300"),
            (&[-1.0, 1.0], "\u{2212}1.0 \u{2212}0.5 0.0 0.5 1.0"),
            (&[0.0, 44_667.0], "0 10000 20000 30000 40000"),
            (&[2e-7, 9e-7], "2 4 6 8 ×10⁻⁷"),
            (&[-3e30, 1e30], "\u{2212}3 \u{2212}2 \u{2212}1 0 1 ×10³⁰"),
            (&[0.0, 0.0], "\u{2212}0.4 \u{2212}0.2 0.0 0.2 0.4"),
            (&[5.0, 5.0], "4.6 4.8 5.0 5.2 5.4"),
            (&[], "0.00 0.25 0.50 0.75 1.00"),
            (&[1e300, 2e300], "1.00 1.25 1.50 1.75 2.00 ×10³⁰⁰"),
            (&[0.0, 5e-324], ""),
            (&[f64::MIN, f64::MAX], ""),
        ] {
            let scale = Scale::around(values.iter().copied(), false);
            assert_eq!(labels(&scale, 5), expected, "{values:?}");
        }
    }

    #[test]
    fn value_is_drawn_where_the_axis_has_it() {
        let pixel = |scale: &Scale, value: f64| scale.map(&value, (100, 500));
        let linear = Scale::linear(-10.0, 10.0);
        assert_eq!([-10.0, 5.0, 10.0, 11.0].map(|x| pixel(&linear, x)), [100, 400, 500, 500]);
        let logarithmic = Scale { logarithmic: true, ..Scale::linear(1.0, 1e4) };
        assert_eq!([1.0, 10.0, 1e4].map(|x| pixel(&logarithmic, x)), [100, 200, 500]);
    }

    #[test]
    fn integers_have_integer_steps() {
        let steps = |high, n| {
            Scale { integer: true, ..Scale::around([-0.5, high].into_iter(), false) }.steps(n)
        };
        assert_eq!(steps(3.5, 9), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(steps(19.5, 8), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(steps(250.0, 9), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0]);
    }

    #[test]
    fn logarithmic_axis_has_powers_of_ten() {
        let scale = Scale::around([0.03, 4e4].into_iter(), true);
        assert_eq!(labels(&scale, 8), "10⁻¹ 10⁰ 10¹ 10² 10³ 10⁴");
        assert_eq!(labels(&scale, 4), "10⁻¹ 10¹ 10³");
        // Less than a decade, and values without a logarithm.
        let scale = Scale::around([2.0, 6.0, 0.0, -1.0].into_iter(), true);
        assert_eq!(labels(&scale, 5), "2 5");
        for values in [[-1.0, 0.0], [5e-324, 1.0], [f64::MIN_POSITIVE, f64::MAX]] {
            let scale = Scale::around(values.into_iter(), true).ticked(5);
            assert!((1..20).contains(&scale.ticks().count()), "{values:?}");
        }
    }
}
