//! From numbers to colors.

use std::ops::Range;
use std::sync::LazyLock;

use plotters::style::RGBColor;
use rayon::prelude::*;

/// The color of NaN.
const NAN: RGBColor = RGBColor(120, 160, 200);

/// A map from numbers between 0 and 1 to colors.
pub struct ColorMap([[u8; 3]; 256]);

impl ColorMap {
    fn parse(csv: &str) -> Self {
        let numbers: Vec<u8> = csv.split([',', '\n']).flat_map(str::parse).collect();
        Self(std::array::from_fn(|i| std::array::from_fn(|c| numbers[3 * i + c])))
    }

    /// The color of `x`. Numbers below 0 have the color of 0, numbers above 1 the color of 1.
    pub fn at(&self, x: f64) -> RGBColor {
        if x.is_nan() {
            return NAN;
        }
        let [r, g, b] = self.0[(x * 256.0).clamp(0.0, 255.0) as usize];
        RGBColor(r, g, b)
    }
}

/// matplotlib's `pink` and `bwr` (blue, white, red): `matplotlib.colormaps[name](range(256),
/// bytes=True)`, without alpha.
pub static PINK: LazyLock<ColorMap> = LazyLock::new(|| ColorMap::parse(include_str!("pink.csv")));
pub static BWR: LazyLock<ColorMap> = LazyLock::new(|| ColorMap::parse(include_str!("bwr.csv")));

/// `numpy.percentile(values, percent)` for each of `percents`, without NaNs; 0 if there is nothing
/// else.
pub fn percentiles<const N: usize>(values: &[f32], percents: [f64; N]) -> [f64; N] {
    let mut values: Vec<f32> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    percents.map(|percent| {
        let Some(last) = values.len().checked_sub(1) else {
            return 0.0;
        };
        let at = percent / 100.0 * last as f64;
        let (_, &mut low, above) = values.select_nth_unstable_by(at as usize, f32::total_cmp);
        let high = above.iter().copied().min_by(f32::total_cmp).unwrap_or(low);
        let (low, high) = (f64::from(low), f64::from(high));
        low + (high - low) * at.fract()
    })
}

/// Averages a matrix with `n_columns` down to at most `max` columns and rows, without NaNs;
/// returns its values and its number of columns.
pub fn reduce(values: &[f32], n_columns: usize, max: [usize; 2]) -> (Vec<f32>, usize) {
    let [max_columns, max_rows] = max;
    let blocks = |n: usize, max: usize| -> Vec<Range<usize>> {
        let n_blocks = n.min(max);
        let start = |i| i * n / n_blocks;
        (0..n_blocks).map(|i| start(i)..start(i + 1)).collect()
    };
    let columns = blocks(n_columns, max_columns);
    let mean = |rows: &Range<usize>, columns: &Range<usize>| {
        let cells = rows.clone().flat_map(|row| &values[row * n_columns..][columns.clone()]);
        let numbers = cells.filter(|x| !x.is_nan());
        let (sum, n) = numbers.fold((0.0, 0.0), |(sum, n), x| (sum + f64::from(*x), n + 1.0));
        (sum / n) as f32
    };
    let rows = blocks(values.len() / n_columns, max_rows);
    let means = rows.par_iter();
    let means = means.flat_map_iter(|rows| columns.iter().map(|columns| mean(rows, columns)));
    (means.collect(), columns.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_maps_have_matplotlibs_ends() {
        assert_eq!(PINK.at(0.0), RGBColor(30, 0, 0));
        assert_eq!(PINK.at(2.0), RGBColor(255, 255, 255));
        assert_eq!(BWR.at(-1.0), RGBColor(0, 0, 255));
        assert_eq!(BWR.at(0.5), RGBColor(255, 254, 254));
        assert_eq!(BWR.at(f64::NAN), NAN);
    }

    #[test]
    fn percentiles_are_numpys() {
        // numpy.percentile([3, 1, 2, 10, 4], [0, 1, 50, 99, 100, 0])
        let values = [3.0, 1.0, f32::NAN, 2.0, 10.0, 4.0];
        let all = percentiles(&values, [0.0, 1.0, 50.0, 99.0, 100.0, 0.0]);
        for (got, expected) in all.into_iter().zip([1.0, 1.04, 3.0, 9.76, 10.0, 1.0]) {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
        assert_eq!(percentiles(&[f32::NAN], [1.0, 99.0]), [0.0, 0.0]);
    }

    #[test]
    fn reduced_matrix_has_the_means_of_the_cells_it_covers() {
        let nan = f32::NAN;
        let rows = [[1.0, 3.0, 4.0, 3.0, 5.0], [nan, 1.0, nan, nan, nan]].concat();
        let (reduced, n_columns) = reduce(&rows, 5, [2, 2]);
        assert_eq!(n_columns, 2);
        assert_eq!(reduced[..3], [2.0, 4.0, 1.0]);
        assert!(reduced[3].is_nan());
        let two_rows = [1.0, 3.0, 5.0, 3.0, 5.0, 7.0];
        assert_eq!(reduce(&two_rows, 3, [3, 1]).0, [2.0, 4.0, 6.0]);
        assert_eq!(reduce(&[1.0, 2.0], 2, [9, 9]), (vec![1.0, 2.0], 2));
    }
}
