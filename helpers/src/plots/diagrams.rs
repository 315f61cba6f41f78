//! The network of section 2, a grating, and gradient descent on a parabola.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters_backend::BackendCoord;

use super::chart::{Area, DrawResult};
use super::scale::Scale;
use super::style::{AXIS_WIDTH, BASE, CURVES, GRAY, SCALE, SMALL, font, px, stroke, text_width};

/// Draws the network: three layers of circles, a line for each weight.
pub fn network<DB: DrawingBackend>(area: &Area<DB>) -> DrawResult<DB> {
    // A drawing of 640 by 300, in the middle.
    let (width, height) = area.dim_in_pixel();
    let scale = (f64::from(width) / 640.0).min(f64::from(height) / 300.0) / f64::from(SCALE);
    let at = |(x, y): (f64, f64)| -> BackendCoord {
        let (dx, dy) = (px((x - 320.0) * scale), px((y - 150.0) * scale));
        (width as i32 / 2 + dx, height as i32 / 2 + dy)
    };
    let text = |label: &str, place, size: f64, color: &RGBColor, h_pos| {
        let style = font(size * scale).color(color).pos(Pos::new(h_pos, VPos::Center));
        area.draw_text(label, &style, at(place))
    };
    // A letter and its index: a subscript, or a superscript where `lower` is below zero.
    let symbol = |[letter, index]: [&str; 2], lower: f64, (x, y): (f64, f64), color: &RGBColor| {
        let small = SMALL * 0.75;
        let width = |text, size| f64::from(text_width(text, &font(size))) / f64::from(SCALE);
        let left = x - (width(letter, BASE) + width(index, small)) / 2.0;
        text(letter, (left, y), BASE, color, HPos::Left)?;
        let beside = (left + width(letter, BASE), y + BASE * lower);
        text(index, beside, small, color, HPos::Left)
    };
    let dot = |place, radius: f64, color: RGBColor| {
        area.draw(&Circle::new(at(place), px(radius * scale), color.filled()))
    };

    let responses = [40.0, 92.0, 144.0, 232.0].map(|y| (130.0, y));
    let hidden = [66.0, 118.0, 206.0].map(|y| (320.0, y));
    let output = (510.0, 136.0);
    let pale = RGBColor(127, 184, 216);
    for h in hidden {
        for end in responses.into_iter().chain([output]) {
            let ends = [at(h), at(end)];
            area.draw(&PathElement::new(ends, stroke(pale, 1.2 * scale)))?;
        }
    }
    let layers = [
        (&responses[..], "r", &["1", "2", "3", "N"][..], RGBColor(232, 232, 232)), // gray
        (&hidden[..], "h", &["1", "2", "M"][..], RGBColor(253, 224, 200)),         // orange
        (&[output][..], "y", &[""][..], RGBColor(205, 235, 222)),                  // green
    ];
    for (places, letter, indices, fill) in layers {
        for (place, index) in places.iter().zip(indices) {
            dot(*place, 18.0, GRAY)?;
            dot(*place, 16.5, fill)?;
            symbol([letter, index], 0.35, *place, &BLACK)?;
        }
    }
    for (x, middle) in [(130.0, 188.0), (320.0, 162.0)] {
        for y in [middle - 8.0, middle, middle + 8.0] {
            dot((x, y), 2.0, BLACK)?;
        }
    }
    for (name, place) in [
        (["W", "in"], (212.0, 30.0)),
        (["b", "in"], (320.0, 34.0)),
        (["W", "out"], (424.0, 66.0)),
        (["b", "out"], (510.0, 104.0)),
    ] {
        symbol(name, -0.4, place, &CURVES[0])?;
    }
    for (label, x) in
        [("neural responses", 130.0), ("hidden units", 320.0), ("decoded orientation", 510.0)]
    {
        text(label, (x, 276.0), SMALL, &BLACK, HPos::Center)?;
    }
    Ok(())
}

/// Draws stripes at an angle in degrees, within a circle.
pub fn grating<DB: DrawingBackend>(area: &Area<DB>, ori: f64) -> DrawResult<DB> {
    const N_STRIPES: i32 = 7;
    let (width, height) = area.dim_in_pixel();
    let radius = 0.45 * f64::from(width.min(height));
    let (sin, cos) = ori.to_radians().sin_cos();
    // A point along a stripe and across the stripes, in radii. Pixels are counted from the top.
    let at = |along: f64, across: f64| -> BackendCoord {
        let (x, y) = (along * cos - across * sin, along * sin + across * cos);
        (width as i32 / 2 + (x * radius) as i32, height as i32 / 2 - (y * radius) as i32)
    };
    let stripe_width = 2.0 / f64::from(2 * N_STRIPES - 1);
    for stripe in 0..N_STRIPES {
        let start = f64::from(2 * stripe) * stripe_width - 1.0;
        let edge = (0..=20).map(|i| start + stripe_width * f64::from(i) / 20.0);
        let chord = |across: f64| (1.0 - across * across).max(0.0).sqrt();
        let left = edge.clone().map(|across| at(-chord(across), across));
        let right = edge.rev().map(|across| at(chord(across), across));
        area.draw(&Polygon::new(left.chain(right).collect::<Vec<_>>(), BLACK))?;
    }
    area.draw(&Circle::new(at(0.0, 0.0), radius as i32, stroke(GRAY, 1.0)))
}

/// Draws the parabola `L = w^2`, the steps so far, and the slope at the last step.
pub fn descent<DB: DrawingBackend>(area: &Area<DB>, path: &[f64]) -> DrawResult<DB> {
    let Some(&w) = path.last() else {
        return Ok(());
    };
    let loss = |w: f64| w * w;
    let slope = 2.0 * w;
    let step = path.len() - 1;
    let label = format!("step {step}:  w = {w:.2},  slope dL/dw = {slope:.2}");
    let mut chart = ChartBuilder::on(area)
        .caption(label.replace('-', "\u{2212}"), font(BASE))
        .set_label_area_size(LabelAreaPosition::Left, px(28.0))
        .set_label_area_size(LabelAreaPosition::Bottom, px(30.0))
        .build_cartesian_2d(Scale::linear(-2.2, 2.2), Scale::linear(-0.3, 4.6))?;
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(stroke(BLACK, AXIS_WIDTH))
        .axis_desc_style(font(BASE))
        .x_desc("weight w")
        .y_desc("loss L")
        .draw()?;
    let curve = (-210..=210).map(|i| f64::from(i) / 100.0).map(|w| (w, loss(w)));
    chart.draw_series(LineSeries::new(curve, stroke(GRAY, 2.0)))?;
    let dot =
        |w: f64, radius, color: RGBAColor| Circle::new((w, loss(w)), px(radius), color.filled());
    chart.draw_series(path.iter().map(|w| dot(*w, 4.0, CURVES[0].mix(0.45))))?;
    let reach = 0.55 / (1.0 + (slope / 2.0).powi(2)).sqrt();
    let tangent = [w - reach, w + reach].map(|x| (x, loss(w) + slope * (x - w)));
    chart.draw_series(LineSeries::new(tangent, stroke(CURVES[1], 2.2)))?;
    chart.draw_series([dot(w, 7.0, CURVES[0].mix(1.0))])?;
    Ok(())
}
