//! Where an axis has its ticks, and what stands at them.

/// The part of the numbers that an axis shows, linear or logarithmic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub low: f64,
    pub high: f64,
    pub logarithmic: bool,
    /// Only whole numbers mean something, such as those of rows.
    pub whole: bool,
}

impl Range {
    pub fn linear(low: f64, high: f64) -> Self {
        Self {
            low,
            high,
            logarithmic: false,
            whole: false,
        }
    }

    /// Where a value is: 0 at the low end, 1 at the high one.
    pub fn part(&self, value: f64) -> f64 {
        match self.logarithmic {
            true => (value.log10() - self.low.log10()) / (self.high.log10() - self.low.log10()),
            false => (value - self.low) / (self.high - self.low),
        }
    }

    pub fn has(&self, value: f64) -> bool {
        (-1e-9..=1.0 + 1e-9).contains(&self.part(value))
    }

    /// From the lowest to the highest of the finite values (of those above 0 on a logarithmic axis),
    /// with a twentieth of room on either side. Some width in any case.
    pub fn around(values: impl Iterator<Item = f64>, logarithmic: bool) -> Self {
        let (low, high) = extent(values.filter(|&x| !logarithmic || x > 0.0));
        if logarithmic {
            let (low, high) = match low > high {
                true => (0.1, 1.0),
                false => (low, high),
            };
            let room = ((high / low).log10() * 0.05).max(0.02);
            return Self {
                low: low / 10f64.powf(room),
                high: high * 10f64.powf(room),
                logarithmic,
                whole: false,
            };
        }
        let (low, high) = match (low, high) {
            (low, high) if low > high => (0.0, 1.0),
            (0.0, 0.0) => (-0.5, 0.5),
            (low, high) if low == high => (low - low.abs() * 0.05, high + high.abs() * 0.05),
            (low, high) => (low, high),
        };
        let room = (high - low) * 0.05;
        Self::linear(low - room, high + room)
    }

    /// From zero, or the lowest value if that is below, to a little above the highest.
    pub fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = extent(values.chain([0.0]));
        let high = if high > low { high } else { low + 1.0 };
        Self::linear(low, high + (high - low) * 0.05)
    }

    /// At most about `n` round numbers within the range.
    pub fn ticks(&self, n: f64) -> Vec<f64> {
        match self.logarithmic {
            true => self.powers(n),
            false => self.steps(n),
        }
    }

    fn steps(&self, n: f64) -> Vec<f64> {
        let least = (self.high - self.low) / n.max(1.0);
        let unit = 10f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|s| s * unit)
            .into_iter()
            .find(|step| *step >= least * (1.0 - 1e-9) && (!self.whole || step.fract() == 0.0))
            .unwrap_or(if self.whole { 1.0 } else { 10.0 * unit });
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }

    /// Powers of ten; where there are less than two, parts of them.
    fn powers(&self, n: f64) -> Vec<f64> {
        let (low, high) = (self.low.log10(), self.high.log10());
        let decades = (high - low).max(1.0);
        let every = (decades / n.max(1.0)).ceil() as i32;
        let powers: Vec<f64> = (low.ceil() as i32..=high.floor() as i32)
            .filter(|power| power % every == 0)
            .map(|power| 10f64.powi(power))
            .collect();
        if powers.len() > 1 {
            return powers;
        }
        let parts = (low.floor() as i32..=high.floor() as i32)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|part| part * 10f64.powi(power)))
            .filter(|&value| self.has(value))
            .collect::<Vec<f64>>();
        match parts.len() {
            0 | 1 => self.steps(n),
            _ => parts,
        }
    }

    /// Ticks without labels: between the powers of ten of a logarithmic axis.
    pub fn minor_ticks(&self) -> Vec<f64> {
        if !self.logarithmic || self.high / self.low > 1e8 {
            return Vec::new();
        }
        let (low, high) = (self.low.log10().floor(), self.high.log10().floor());
        (low as i32..=high as i32)
            .flat_map(|power| (2..10).map(move |part| f64::from(part) * 10f64.powi(power)))
            .filter(|&value| self.has(value))
            .collect()
    }

    /// What stands at these ticks, and a power of ten that all are to be multiplied by, or nothing.
    pub fn labels(&self, ticks: &[f64]) -> (Vec<String>, String) {
        let largest = ticks.iter().fold(0f64, |largest, x| largest.max(x.abs()));
        let is_power = |x: &f64| (x.log10() - x.log10().round()).abs() < 1e-9;
        if self.logarithmic && ticks.len() > 1 && ticks.iter().all(is_power) {
            let power = |x: &f64| format!("10{}", superscript(x.log10().round() as i32));
            return (ticks.iter().map(power).collect(), String::new());
        }
        let exponent = match largest {
            0.0 => 0,
            x if (1e-3..1e6).contains(&x) => 0,
            x => x.log10().floor() as i32,
        };
        // Not by powi: it is infinite, or 0, for the exponents of the very small and large.
        let scaled: Vec<f64> = ticks
            .iter()
            .map(|x| x / 10f64.powf(f64::from(exponent)))
            .collect();
        let exact = |n_digits: &usize| {
            let unit = 10f64.powi(*n_digits as i32);
            scaled
                .iter()
                .all(|x| ((x * unit).round() / unit - x).abs() < 1e-7 / unit.min(1e3))
        };
        let n_digits = (0..9).find(exact).unwrap_or(9);
        let label = |x: &f64| {
            let x = if *x == 0.0 { 0.0 } else { *x }; // no minus before zero
            format!("{x:.n_digits$}").replace('-', "\u{2212}")
        };
        let factor = match exponent {
            0 => String::new(),
            exponent => format!("\u{d7}10{}", superscript(exponent)),
        };
        (scaled.iter().map(label).collect(), factor)
    }
}

/// The lowest and the highest of the finite values; the wrong way round if there are none.
pub fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .filter(|x| x.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        })
}

fn superscript(exponent: i32) -> String {
    let raised = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32('⁰' as u32 + digit as u32 - '0' as u32).unwrap_or(digit),
    };
    exponent.to_string().chars().map(raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64]) -> String {
        let range = Range::around(values.iter().copied(), false);
        let (labels, factor) = range.labels(&range.ticks(5.0));
        labels.join(" ") + if factor.is_empty() { "" } else { " " } + &factor
    }

    #[test]
    fn ticks_are_round_numbers_with_the_digits_that_they_need() {
        for (values, expected) in [
            (&[0.0, 360.0][..], "0 100 200 300"),
            (&[-1.0, 1.0], "\u{2212}1.0 \u{2212}0.5 0.0 0.5 1.0"),
            (&[0.0, 44_667.0], "0 10000 20000 30000 40000"),
            (&[2e-7, 9e-7], "2 4 6 8 ×10⁻⁷"),
            (&[-3e30, 1e30], "\u{2212}3 \u{2212}2 \u{2212}1 0 1 ×10³⁰"),
            (&[0.0, 0.0], "\u{2212}0.50 \u{2212}0.25 0.00 0.25 0.50"),
            (&[5.0, 5.0], "4.8 5.0 5.2"),
            (&[], "0.00 0.25 0.50 0.75 1.00"),
            (&[1e300, 2e300], "1.00 1.25 1.50 1.75 2.00 ×10³⁰⁰"),
        ] {
            assert_eq!(labels(values), expected, "{values:?}");
        }
    }

    #[test]
    fn whole_numbers_have_whole_steps() {
        let steps = |high: f64, n: f64| {
            let range = Range::around([-0.5, high].into_iter(), false);
            Range {
                whole: true,
                ..range
            }
            .ticks(n)
        };
        assert_eq!(steps(3.5, 9.0), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(steps(19.5, 8.0), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(steps(250.0, 10.0), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0]);
    }

    #[test]
    fn a_logarithmic_axis_has_powers_of_ten() {
        let range = Range::around([0.03, 4e4].into_iter(), true);
        let (labels, _) = range.labels(&range.ticks(8.0));
        assert_eq!(labels.join(" "), "10⁻¹ 10⁰ 10¹ 10² 10³ 10⁴");
        let (labels, _) = range.labels(&range.ticks(4.0));
        assert_eq!(labels.join(" "), "10⁰ 10² 10⁴");
        // Less than a decade, and what has no logarithm.
        let range = Range::around([2.0, 6.0, 0.0, -1.0].into_iter(), true);
        let (labels, _) = range.labels(&range.ticks(5.0));
        assert_eq!(labels.join(" "), "2 5");
        let range = Range::around([-1.0].into_iter(), true);
        assert!(!range.ticks(5.0).is_empty());
    }
}
