//! The look of all figures, after Neuromatch's settings: 8 x 6 inches, base size 15, no frame at the
//! top and right, ticks outward, DejaVu Sans. Lengths are in CSS pixels, 80 to the inch.

use std::sync::Once;

use plotters::style::{FontDesc, FontStyle, IntoFont};

use crate::Result;

/// Red, green, blue.
pub type Colour = [u8; 3];

pub const PIXELS_PER_INCH: f64 = 80.0;
/// Of one figure, and of several side by side or one above the other, in inches.
pub const SINGLE: (f64, f64) = (8.0, 6.0);
pub const SEVERAL: (f64, f64) = (12.0, 5.0);

/// The size of labels, 15 points; and of ticks' labels and legends, matplotlib's "small".
pub const BASE: f64 = 15.0 / 72.0 * PIXELS_PER_INCH;
pub const SMALL: f64 = BASE * 0.833;

pub const AXIS_WIDTH: f64 = 1.0;
pub const CURVE_WIDTH: f64 = 1.8;
pub const TICK: f64 = 5.0;
/// Between things that belong together.
pub const GAP: f64 = 5.0;

pub const BLACK: Colour = [0, 0, 0];
pub const GREY: Colour = [120, 120, 120];
pub const WHITE: Colour = [255, 255, 255];

/// Curves, bars and points: of the colours of Okabe and Ito, which people with any kind of colour
/// vision tell apart (<https://jfly.uni-koeln.de/color/>), first the three that differ most.
pub const CURVES: [Colour; 6] = [
    [0, 114, 178],   // blue
    [213, 94, 0],    // vermilion
    [0, 158, 115],   // bluish green
    [204, 121, 167], // reddish purple
    [230, 159, 0],   // orange
    [86, 180, 233],  // sky blue
];

/// For values that are not numbers.
pub const NAN: Colour = [120, 160, 200];

pub const FONT: &str = "DejaVu Sans";
/// The font's line height in ems, which is what plotters calls its size.
const LINE_HEIGHT: f64 = 2384.0 / 2048.0;

/// The font for letters whose em is `size`.
pub fn font(size: f64) -> FontDesc<'static> {
    static DEJAVU: Once = Once::new();
    DEJAVU.call_once(|| {
        // The font is part of the crate, so this cannot fail from outside.
        let registered =
            plotters::style::register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
        assert!(registered.is_ok(), "the embedded font is damaged");
    });
    (FONT, size * LINE_HEIGHT).into_font()
}

/// The width of a text.
pub fn text_width(text: &str, size: f64) -> Result<f64> {
    const FINE: f64 = 16.0; // plotters counts whole pixels
    let (width, _) = font(size * FINE)
        .box_size(text)
        .map_err(|why| crate::Error::Msg(format!("cannot measure the text {text:?}: {why}")))?;
    Ok(f64::from(width) / FINE)
}
