//! The style of all figures, after Neuromatch's settings: 8 x 6 inches, base size 15, no frame at
//! the top and right, ticks outward, DejaVu Sans. Lengths are in CSS pixels, 80 to the inch, until
//! [`px`] converts them to the pixels that are drawn.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId};
use plotters::prelude::*;
use plotters::style::register_font;

pub const PIXELS_PER_INCH: f64 = 80.0;
/// The size of a figure with one panel, and with several, in inches.
pub const SINGLE: (f64, f64) = (8.0, 6.0);
pub const SEVERAL: (f64, f64) = (12.0, 5.0);

/// The font size of labels, 15 points; and of tick labels and legends, matplotlib's "small".
pub const BASE: f64 = 15.0 / 72.0 * PIXELS_PER_INCH;
pub const SMALL: f64 = BASE * 0.833;

pub const AXIS_WIDTH: f64 = 1.0;
pub const CURVE_WIDTH: f64 = 1.8;
pub const TICK: f64 = 5.0;
/// The radius of a marker.
pub const MARKER: f64 = 3.4;

pub const GRAY: RGBColor = RGBColor(120, 120, 120);

/// Colors of series, by Okabe and Ito: people with any kind of color vision can tell them apart
/// (<https://jfly.uni-koeln.de/color/>). The three that differ most come first.
pub const CURVES: [RGBColor; 6] = [
    RGBColor(0, 114, 178),   // blue
    RGBColor(213, 94, 0),    // vermilion
    RGBColor(0, 158, 115),   // bluish green
    RGBColor(204, 121, 167), // reddish purple
    RGBColor(230, 159, 0),   // orange
    RGBColor(86, 180, 233),  // sky blue
];

/// Pixels drawn for one CSS pixel. A PNG file has half of them: averaging two by two gives soft
/// edges, and what is left is sharp on screens with two pixels for one CSS pixel.
pub const SCALE: u32 = 4;

pub const FONT: &str = "DejaVu Sans";

static DEJAVU: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    let bytes = dejavu::sans::regular();
    let registered = register_font(FONT, FontStyle::Normal, bytes);
    assert!(registered.is_ok(), "the embedded font is damaged");
    FontRef::try_from_slice(bytes).expect("plotters has just read the font")
});

/// A length as plotters draws it.
pub fn px(length: f64) -> i32 {
    (length * f64::from(SCALE)).round() as i32
}

pub fn stroke(color: RGBColor, width: f64) -> ShapeStyle {
    color.stroke_width(px(width) as u32)
}

/// The font with an em of `size`.
pub fn font(size: f64) -> TextStyle<'static> {
    LazyLock::force(&DEJAVU);
    // What plotters calls a font's size is its line height.
    let size = size * 2384.0 / 2048.0 * f64::from(SCALE);
    (FONT, size).into_font().into()
}

/// The width of a text, in pixels drawn.
pub fn text_width(text: &str, font: &TextStyle) -> i32 {
    font.font.box_size(text).map_or(0, |(width, _)| width as i32)
}

/// The font of at most `size` in which a text is no wider than an extent in pixels drawn.
pub fn fit_font(text: &str, size: f64, extent: i32) -> TextStyle<'static> {
    let width = text_width(text, &font(size)).max(1);
    font(size * (f64::from(extent) / f64::from(width)).min(1.0))
}

/// The letters of a text that the font does not have.
pub fn missing_letters(text: &str) -> Vec<char> {
    text.chars().filter(|c| DEJAVU.glyph_id(*c) == GlyphId(0)).collect()
}
