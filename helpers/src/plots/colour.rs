//! From numbers to colours.

use std::sync::LazyLock;

use rayon::prelude::*;

use super::style::{Colour, NAN};

/// A map from numbers between 0 and 1 to colours.
#[derive(Debug)]
pub struct ColourMap([Colour; 256]);

impl ColourMap {
    /// The colour of `x`; below 0 that of 0, above 1 that of 1.
    pub fn at(&self, x: f64) -> Colour {
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

/// matplotlib's `bwr`: from blue for 0 over white to red for 1.
pub static BWR: LazyLock<ColourMap> = LazyLock::new(|| {
    ColourMap(std::array::from_fn(|i| {
        let x = 255.0 * (i as f64 * (1.0 / 255.0)); // rounded as matplotlib does
        let [rising, falling] = [x / 127.5, 1.0 - (x - 127.5) / 127.5];
        let [rising, falling] = [rising, falling].map(|x| (x.min(1.0) * 255.0) as u8);
        [rising, rising.min(falling), falling]
    }))
});

/// As `numpy.percentile(values, percent)` for each of `percents`, of those values that are numbers.
pub fn percentiles(values: &[f32], percents: [f64; 2]) -> [f64; 2] {
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

/// A matrix of at most so many columns and rows: where it has more, each cell is the mean of those
/// that it covers, in part or as a whole. Cells that are not numbers are left out of a mean.
pub fn reduce(
    values: &[f32],
    n_columns: usize,
    most_columns: usize,
    most_rows: usize,
) -> (Vec<f32>, usize) {
    let n_rows = values.len() / n_columns;
    let (columns, rows) = (n_columns.min(most_columns), n_rows.min(most_rows));
    let narrow: Vec<f32> = match columns == n_columns {
        true => values.to_vec(),
        false => values
            .par_chunks_exact(n_columns)
            .flat_map_iter(|row| means(row, columns))
            .collect(),
    };
    if rows == n_rows {
        return (narrow, columns);
    }
    let mut reduced = vec![0.0; rows * columns];
    for column in 0..columns {
        let of_column: Vec<f32> = narrow[column..].iter().step_by(columns).copied().collect();
        for (row, mean) in means(&of_column, rows).into_iter().enumerate() {
            reduced[row * columns + column] = mean;
        }
    }
    (reduced, columns)
}

/// The means of `n` parts of a row, all of one length, which may end within a cell.
fn means(row: &[f32], n: usize) -> Vec<f32> {
    let length = row.len() as f64 / n as f64;
    let part = |i: usize| {
        let (start, end) = (i as f64 * length, (i + 1) as f64 * length);
        let (mut sum, mut covered) = (0.0, 0.0);
        let cells = start as usize..(end.ceil() as usize).min(row.len());
        for (value, k) in row[cells.clone()].iter().zip(cells) {
            let share = end.min(k as f64 + 1.0) - start.max(k as f64);
            if !value.is_nan() && share > 0.0 {
                sum += share * f64::from(*value);
                covered += share;
            }
        }
        (sum / covered) as f32
    };
    (0..n).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_maps_are_matplotlibs() {
        // matplotlib.colormaps[name](range(256), bytes=True)
        for (map, expected) in [
            (&PINK, include_str!("../../tests/data/pink.csv")),
            (&BWR, include_str!("../../tests/data/bwr.csv")),
        ] {
            let got = map.0.map(|[r, g, b]| format!("{r},{g},{b}"));
            let expected: Vec<&str> = expected.lines().collect();
            assert_eq!(got[..], expected[..]);
        }
    }

    #[test]
    fn percentiles_are_numpys() {
        // numpy.percentile([3, 1, 2, 10, 4], [0, 1, 50, 99, 100])
        let values = [3.0, 1.0, f32::NAN, 2.0, 10.0, 4.0];
        for (percent, expected) in [
            (0.0, 1.0),
            (1.0, 1.04),
            (50.0, 3.0),
            (99.0, 9.76),
            (100.0, 10.0),
        ] {
            let [got, same] = percentiles(&values, [percent; 2]);
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
            assert_eq!(got, same);
        }
        assert_eq!(percentiles(&[f32::NAN], [1.0, 99.0]), [0.0, 0.0]);
    }

    #[test]
    fn a_reduced_matrix_has_the_means_of_what_its_cells_cover() {
        let nan = f32::NAN;
        // Five columns in two: the middle one counts half for either side.
        let rows = [[1.0, 2.0, 4.0, 3.0, 5.0], [nan, 1.0, nan, nan, nan]].concat();
        let (reduced, n_columns) = reduce(&rows, 5, 2, 2);
        assert_eq!(n_columns, 2);
        assert_eq!(reduced[..3], [2.0, 4.0, 1.0]);
        assert!(reduced[3].is_nan());
        // Rows as well.
        assert_eq!(
            reduce(&[1.0, 3.0, 5.0, 3.0, 5.0, 7.0], 3, 3, 1).0,
            [2.0, 4.0, 6.0]
        );
        assert_eq!(reduce(&[1.0, 2.0], 2, 9, 9), (vec![1.0, 2.0], 2));
    }
}
