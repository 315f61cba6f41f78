//! Colours, and the range of values that they cover.

use std::sync::LazyLock;

/// The curves' colours: blue, vermilion and bluish green of Okabe and Ito, which people with any
/// kind of colour vision tell apart (<https://jfly.uni-koeln.de/color/>).
pub const CURVES: [[u8; 3]; 3] = [[0, 114, 178], [213, 94, 0], [0, 158, 115]];

/// For values that are not numbers.
pub const NAN: [u8; 3] = [120, 160, 200];

/// A map from numbers between 0 and 1 to colours.
pub struct ColourMap([[u8; 3]; 256]);

impl ColourMap {
    /// The colour of `x`; below 0 that of 0, above 1 that of 1.
    pub fn at(&self, x: f64) -> [u8; 3] {
        if x.is_nan() {
            return NAN;
        }
        self.0[(x * 256.0).clamp(0.0, 255.0) as usize]
    }
}

/// matplotlib's `pink`: the root of two parts grey and one part `hot`, given at 64 points and
/// interpolated to 256.
pub static PINK: LazyLock<ColourMap> = LazyLock::new(|| {
    let given = |i: usize| {
        let (i, grey) = (i as f64 + 1.0, i as f64 / 63.0);
        let hot = [i / 24.0, (i - 24.0) / 24.0, (i - 48.0) / 16.0];
        hot.map(|hot| ((2.0 * grey + hot.clamp(0.0, 1.0)) / 3.0).sqrt())
    };
    ColourMap(std::array::from_fn(|i| {
        let x = i as f64 / 255.0 * 63.0;
        let (low, high) = (given(x as usize), given((x as usize + 1).min(63)));
        std::array::from_fn(|c| ((low[c] + (high[c] - low[c]) * x.fract()) * 255.0) as u8)
    }))
});

/// As `numpy.percentile(values, percent)`, of those values that are numbers.
pub fn percentile(values: &[f32], percent: f64) -> f64 {
    let mut values: Vec<f32> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    values.sort_by(f32::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return 0.0;
    };
    let at = percent / 100.0 * last as f64;
    let low = f64::from(values[at as usize]);
    let high = f64::from(values[(at as usize + 1).min(last)]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pink_is_matplotlibs() {
        // matplotlib.colormaps["pink"](range(256), bytes=True)
        let expected = include_str!("../../tests/data/pink.csv");
        for (i, line) in expected.lines().enumerate() {
            let [r, g, b] = PINK.0[i];
            assert_eq!(format!("{r},{g},{b}"), line, "entry {i}");
        }
        assert_eq!(expected.lines().count(), 256);
    }

    #[test]
    fn percentile_is_numpys() {
        // numpy.percentile([3, 1, 2, 10, 4], [0, 1, 50, 99, 100])
        let values = [3.0, 1.0, 2.0, 10.0, 4.0];
        let got = [0.0, 1.0, 50.0, 99.0, 100.0].map(|p| percentile(&values, p));
        for (got, expected) in got.into_iter().zip([1.0, 1.04, 3.0, 9.76, 10.0]) {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
    }
}
