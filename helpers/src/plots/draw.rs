//! Drawing panels into pixels.
//!
//! All is drawn at four times the size that it has on the page; averaging two by two pixels gives
//! soft edges and leaves twice the size for sharp screens.

use std::error::Error as StdError;
use std::ops::Range;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters_bitmap::BitMapBackend;

use super::Panel;
use super::colour::{CURVES, PINK, percentile};
use crate::{Error, Result};

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn StdError + Send + Sync>>;

/// Pixels drawn for one CSS pixel.
const SCALE: f64 = 4.0;
/// Font sizes, in CSS pixels: 15 points at 80 to the inch, and matplotlib's "small" of it.
const BASE: f64 = 15.0 / 72.0 * 80.0;
const SMALL: f64 = BASE * 0.833;
const FONT: &str = "DejaVu Sans";
const GREY: RGBColor = RGBColor(120, 120, 120);
const BLUE: RGBColor = RGBColor(CURVES[0][0], CURVES[0][1], CURVES[0][2]);
const RED: RGBColor = RGBColor(CURVES[1][0], CURVES[1][1], CURVES[1][2]);

/// CSS pixels to drawn ones.
fn px(css: f64) -> i32 {
    (css * SCALE).round() as i32
}

fn font(css: f64) -> FontDesc<'static> {
    static DEJAVU: Once = Once::new();
    DEJAVU.call_once(|| {
        // The font is part of the crate, so this cannot fail from outside.
        let registered =
            plotters::style::register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
        assert!(registered.is_ok(), "the embedded font is damaged");
    });
    (FONT, css * SCALE).into_font()
}

/// Draws panels side by side under a title; returns RGB pixels, twice `css_size` each way.
pub fn frame(title: &str, panels: &[Panel], css_size: (u32, u32)) -> Result<Vec<u8>> {
    let size = (css_size.0 * SCALE as u32, css_size.1 * SCALE as u32);
    let mut pixels = vec![255; (size.0 * size.1 * 3) as usize];
    let draw = |pixels: &mut [u8]| -> Drawn {
        let area = BitMapBackend::with_buffer(pixels, size).into_drawing_area();
        let area = area.margin(px(8.0), px(8.0), px(8.0), px(12.0));
        let area = match title {
            "" => area,
            title => {
                let (top, rest) = area.split_vertically(px(BASE * 2.0));
                let (width, _) = top.dim_in_pixel();
                text(
                    &top,
                    title,
                    (f64::from(width) / SCALE / 2.0, BASE * 0.7),
                    BASE * 1.1,
                    BLACK,
                )?;
                rest
            }
        };
        for (part, panel) in area.split_evenly((1, panels.len())).iter().zip(panels) {
            match panel {
                Panel::HeatMap {
                    values,
                    n_columns,
                    x_label,
                    y_label,
                    colour_label,
                } => {
                    heat_map(part, values, *n_columns, [x_label, y_label, colour_label])?;
                }
                Panel::Curves {
                    x,
                    curves,
                    x_label,
                    y_label,
                    x_ticks,
                    from_zero,
                } => {
                    draw_curves(part, x, curves, [x_label, y_label], x_ticks, *from_zero)?;
                }
                Panel::Network => network(part)?,
                Panel::Descent(path) => descent(part, path)?,
            }
        }
        area.present()?;
        Ok(())
    };
    draw(&mut pixels).map_err(|why| Error::Msg(format!("cannot draw the figure: {why}")))?;
    Ok(halve(&pixels, size.0 as usize))
}

/// The mean of each two by two pixels.
fn halve(pixels: &[u8], width: usize) -> Vec<u8> {
    let row_bytes = width * 3;
    let mut half = Vec::with_capacity(pixels.len() / 4);
    for rows in pixels.chunks_exact(2 * row_bytes) {
        let (upper, lower) = rows.split_at(row_bytes);
        for (u, l) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for c in 0..3 {
                let sum: u16 = [u[c], u[c + 3], l[c], l[c + 3]]
                    .into_iter()
                    .map(u16::from)
                    .sum();
                half.push(((sum + 2) / 4) as u8);
            }
        }
    }
    half
}

/// Text centred on a point given in CSS pixels.
fn text(area: &Area, words: &str, at: (f64, f64), size: f64, colour: RGBColor) -> Drawn {
    let style = font(size)
        .color(&colour)
        .pos(Pos::new(HPos::Center, VPos::Center));
    // The centre of the line's box is a little above that of its letters.
    area.draw(&Text::new(words, (px(at.0), px(at.1 + size * 0.1)), style))?;
    Ok(())
}

/// A tick's label: no needless digits, and a real minus sign.
fn tick_label(value: &f64) -> String {
    let plain = if *value != 0.0 && !(1e-4..1e6).contains(&value.abs()) {
        format!("{value:.2e}")
    } else {
        let rounded = format!("{value:.6}");
        rounded
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    };
    plain.replace('-', "\u{2212}")
}

/// An axis with ticks of one's own, or those that suit its range where there are none.
struct Axis {
    range: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.range.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match &self.ticks[..] {
            [] => self.range.key_points(hint),
            ticks => ticks.to_vec(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.range.range()
    }
}

fn draw_curves(
    area: &Area,
    x: &[f32],
    curves: &[(String, Vec<f32>)],
    [x_label, y_label]: [&str; 2],
    x_ticks: &[f64],
    from_zero: bool,
) -> Drawn {
    let heights = curves.iter().flat_map(|(_, y)| y);
    let (x_range, y_range) = if from_zero {
        (from_zero_range(x.iter()), from_zero_range(heights))
    } else {
        (
            range(x.iter().copied().chain(x_ticks.iter().map(|&x| x as f32))),
            padded(range(heights.copied())),
        )
    };
    let named = curves.iter().any(|(name, _)| !name.is_empty());
    let mut chart = ChartBuilder::on(area)
        .margin_top(px(12.0))
        .margin_right(px(16.0))
        .margin_left(px(10.0))
        .x_label_area_size(px(50.0))
        .y_label_area_size(px(74.0))
        .build_cartesian_2d(
            Axis {
                range: x_range.into(),
                ticks: x_ticks.to_vec(),
            },
            y_range,
        )?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_labels(10)
        .y_labels(6)
        .x_label_formatter(&tick_label)
        .y_label_formatter(&tick_label)
        .label_style(font(SMALL))
        .axis_desc_style(font(BASE))
        .axis_style(BLACK.stroke_width(px(1.0) as u32))
        .set_all_tick_mark_size(px(6.0))
        .x_desc(x_label)
        .y_desc(y_label)
        .draw()?;
    for (i, (name, y)) in curves.iter().enumerate() {
        let [r, g, b] = CURVES[i % CURVES.len()];
        let style = RGBColor(r, g, b).stroke_width(px(1.8) as u32);
        let points: Vec<(f64, f64)> = x
            .iter()
            .zip(y)
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .map(|(&x, &y)| (f64::from(x), f64::from(y)))
            .collect();
        let drawn = chart.draw_series(LineSeries::new(points, style))?;
        if named {
            drawn
                .label(name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + px(20.0), y)], style));
        }
    }
    if named {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .margin(px(6.0))
            .legend_area_size(px(28.0))
            .label_font(font(SMALL))
            .draw()?;
    }
    Ok(())
}

/// From the lowest to the highest of the finite values; a range of some width in any case.
fn range(values: impl Iterator<Item = f32>) -> Range<f64> {
    let (low, high) = values
        .filter(|x| x.is_finite())
        .map(f64::from)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        });
    match (low, high) {
        (low, high) if low > high => 0.0..1.0,
        (low, high) if low == high => low - 0.5..high + 0.5 + high.abs() * 1e-3,
        (low, high) => low..high,
    }
}

/// From zero, or the lowest value if that is below, to a little above the highest.
fn from_zero_range<'a>(values: impl Iterator<Item = &'a f32>) -> Range<f64> {
    let with_zero = range(values.copied().chain([0.0]));
    with_zero.start.min(0.0)..with_zero.end + (with_zero.end - with_zero.start) * 0.05
}

/// A twentieth of room on either side.
fn padded(range: Range<f64>) -> Range<f64> {
    let room = (range.end - range.start) * 0.05;
    range.start - room..range.end + room
}

fn heat_map(
    area: &Area,
    values: &[f32],
    n_columns: usize,
    [x_label, y_label, colour_label]: [&str; 3],
) -> Drawn {
    let n_rows = values.len() / n_columns;
    let (low, high) = (percentile(values, 1.0), percentile(values, 99.0));
    let high = if high > low { high } else { low + 1.0 };
    let colour = |value: f64| {
        let [r, g, b] = PINK.at((value - low) / (high - low));
        RGBColor(r, g, b)
    };
    let (width, height) = area.dim_in_pixel();
    let (map, bar) = area.split_horizontally(width as i32 - px(104.0));
    let (left, right, top, bottom) = (px(32.0), px(8.0), px(12.0), px(50.0));
    let label = font(BASE)
        .color(&BLACK)
        .pos(Pos::new(HPos::Center, VPos::Center));

    let map = map.margin(top, bottom, left, right);
    let (map_width, map_height) = map.dim_in_pixel();
    // Where there are more cells than pixels, a pixel shows the mean of its cells.
    let cells = |pixel: u32, n_pixels: u32, n_cells: usize| {
        let first = pixel as usize * n_cells / n_pixels as usize;
        first..((pixel as usize + 1) * n_cells / n_pixels as usize).max(first + 1)
    };
    for y in 0..map_height {
        let rows = cells(y, map_height, n_rows);
        for x in 0..map_width {
            let columns = cells(x, map_width, n_columns);
            let n = (rows.len() * columns.len()) as f64;
            let sum: f64 = rows
                .clone()
                .flat_map(|row| &values[row * n_columns..][columns.clone()])
                .map(|&value| f64::from(value))
                .sum();
            map.draw_pixel((x as i32, y as i32), &colour(sum / n))?;
        }
    }
    let below = (left + map_width as i32 / 2, height as i32 - px(30.0));
    area.draw(&Text::new(x_label, below, label.clone()))?;
    let beside = (px(14.0), top + map_height as i32 / 2);
    let label = label.transform(FontTransform::Rotate270);
    area.draw(&Text::new(y_label, beside, label.clone()))?;
    let beside = (width as i32 - px(26.0), top + map_height as i32 / 2);
    area.draw(&Text::new(colour_label, beside, label))?;

    let mut chart = ChartBuilder::on(&bar)
        .margin_top(top)
        .margin_bottom(bottom)
        .right_y_label_area_size(px(84.0))
        .build_cartesian_2d(0.0..1.0, low..high)?;
    let strip = chart.plotting_area().strip_coord_spec();
    let (strip_width, strip_height) = strip.dim_in_pixel();
    for y in 0..strip_height {
        let value = high - (high - low) * f64::from(y) / f64::from(strip_height);
        for x in 0..strip_width {
            strip.draw_pixel((x as i32, y as i32), &colour(value))?;
        }
    }
    chart
        .configure_mesh()
        .disable_mesh()
        .disable_x_axis()
        .y_labels(8)
        .y_label_formatter(&tick_label)
        .label_style(font(SMALL))
        .axis_desc_style(font(BASE))
        .axis_style(BLACK.stroke_width(px(1.0) as u32))
        .set_all_tick_mark_size(px(5.0))
        .draw()?;
    Ok(())
}

/// Three layers of circles, a line for each weight.
fn network(area: &Area) -> Drawn {
    let line = |from: (f64, f64), to: (f64, f64)| {
        let ends = vec![(px(from.0), px(from.1)), (px(to.0), px(to.1))];
        area.draw(&PathElement::new(
            ends,
            BLUE.mix(0.55).stroke_width(px(1.2) as u32),
        ))
    };
    let unit = |at: (f64, f64), fill: RGBColor| -> Drawn {
        let at = (px(at.0), px(at.1));
        area.draw(&Circle::new(at, px(17.0), fill.filled()))?;
        area.draw(&Circle::new(
            at,
            px(17.0),
            GREY.stroke_width(px(1.5) as u32),
        ))?;
        Ok(())
    };
    let responses = [40.0, 92.0, 144.0, 232.0].map(|y| (130.0, y));
    let hidden = [66.0, 118.0, 206.0].map(|y| (320.0, y));
    let output = (510.0, 136.0);
    for h in hidden {
        for r in responses {
            line(r, h)?;
        }
        line(h, output)?;
    }
    let rows = [
        ("1", responses[0]),
        ("2", responses[1]),
        ("3", responses[2]),
        ("N", responses[3]),
    ];
    for (index, at) in rows {
        unit(at, RGBColor(232, 232, 232))?;
        symbol(area, "r", index, false, at, BLACK)?;
    }
    for (index, at) in [("1", hidden[0]), ("2", hidden[1]), ("M", hidden[2])] {
        unit(at, RGBColor(253, 224, 200))?;
        symbol(area, "h", index, false, at, BLACK)?;
    }
    unit(output, RGBColor(205, 235, 222))?;
    text(area, "y", output, BASE, BLACK)?;
    for (x, middle) in [(130.0, 188.0), (320.0, 162.0)] {
        for y in [middle - 8.0, middle, middle + 8.0] {
            area.draw(&Circle::new((px(x), px(y)), px(2.0), BLACK.filled()))?;
        }
    }
    symbol(area, "W", "in", true, (212.0, 30.0), BLUE)?;
    symbol(area, "b", "in", true, (320.0, 34.0), BLUE)?;
    symbol(area, "W", "out", true, (424.0, 66.0), BLUE)?;
    symbol(area, "b", "out", true, (510.0, 104.0), BLUE)?;
    text(area, "neural responses", (130.0, 272.0), SMALL, BLACK)?;
    text(area, "hidden units", (320.0, 272.0), SMALL, BLACK)?;
    text(area, "decoded orientation", (510.0, 272.0), SMALL, BLACK)
}

/// A letter with a small one above or below its right side.
fn symbol(
    area: &Area,
    letter: &str,
    index: &str,
    above: bool,
    at: (f64, f64),
    colour: RGBColor,
) -> Drawn {
    let height = if above { -5.0 } else { 5.0 };
    let style = font(SMALL * 0.75)
        .color(&colour)
        .pos(Pos::new(HPos::Left, VPos::Center));
    let letter_width = font(BASE).box_size(letter)?.0 as i32;
    text(area, letter, (at.0 - 3.0, at.1), BASE, colour)?;
    let place = (px(at.0 - 2.0) + letter_width / 2, px(at.1 + height + 1.0));
    area.draw(&Text::new(index, place, style))?;
    Ok(())
}

/// The parabola `L = w^2`, the steps so far, and the slope at the last of them.
fn descent(area: &Area, path: &[f64]) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .margin_top(px(40.0))
        .margin_right(px(16.0))
        .x_label_area_size(px(48.0))
        .y_label_area_size(px(56.0))
        .build_cartesian_2d(-2.2..2.2, -0.3..4.6)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_labels(0)
        .y_labels(0)
        .axis_desc_style(font(BASE))
        .axis_style(BLACK.stroke_width(px(1.0) as u32))
        .x_desc("weight w")
        .y_desc("loss L")
        .draw()?;
    let loss = |w: f64| w * w;
    let curve = (-210..=210)
        .map(|i| f64::from(i) / 100.0)
        .map(|w| (w, loss(w)));
    chart.draw_series(LineSeries::new(curve, GREY.stroke_width(px(2.0) as u32)))?;
    chart.draw_series(
        path.iter()
            .map(|&w| Circle::new((w, loss(w)), px(4.0), BLUE.mix(0.45).filled())),
    )?;
    if let Some(&w) = path.last() {
        let slope = 2.0 * w;
        let reach = 0.55 / (1.0 + (slope / 2.0).powi(2)).sqrt();
        let tangent = [w - reach, w + reach].map(|x| (x, loss(w) + slope * (x - w)));
        chart.draw_series(LineSeries::new(tangent, RED.stroke_width(px(2.2) as u32)))?;
        chart.draw_series([Circle::new((w, loss(w)), px(7.0), BLUE.filled())])?;
        let (width, _) = area.dim_in_pixel();
        let words = format!(
            "step {}:  w = {},  slope dL/dw = {}",
            path.len() - 1,
            tick_label(&((w * 100.0).round() / 100.0)),
            tick_label(&((slope * 100.0).round() / 100.0)),
        );
        text(
            area,
            &words,
            (f64::from(width) / SCALE / 2.0, 18.0),
            BASE,
            BLACK,
        )?;
    }
    Ok(())
}
