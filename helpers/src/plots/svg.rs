//! Scenes as SVG.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::raster;
use super::scene::{Mark, Point, Scene, Side};
use super::style::{Colour, FONT};
use crate::{Error, Result};

/// An SVG file; `alt` says what is to be seen.
pub fn svg(scene: &Scene, alt: &str) -> Result<String> {
    let mut file = String::new();
    write(&mut file, scene, alt)
        .map_err(|why| Error::Msg(format!("cannot write the figure as SVG: {why}")))?;
    Ok(file)
}

/// Text as XML wants it.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&quot;")
}

fn hex([r, g, b]: Colour) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn list(points: &[Point]) -> String {
    let points: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{x:.2},{y:.2}"))
        .collect();
    points.join(" ")
}

fn write(file: &mut String, scene: &Scene, alt: &str) -> std::result::Result<(), std::fmt::Error> {
    let (width, height) = scene.size;
    writeln!(
        file,
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' \
         viewBox='0 0 {width} {height}' role='img' font-family='{FONT}, sans-serif'>\n\
         <title>{}</title>\n<rect width='100%' height='100%' fill='#ffffff'/>",
        escaped(alt)
    )?;
    for mark in &scene.marks {
        match mark {
            Mark::Line {
                points,
                width,
                colour,
            } => writeln!(
                file,
                "<polyline points='{}' fill='none' stroke='{}' stroke-width='{width}' \
                 stroke-linejoin='round'/>",
                list(points),
                hex(*colour)
            )?,
            Mark::Area {
                points,
                colour,
                opacity,
            } => writeln!(
                file,
                "<polygon points='{}' fill='{}' fill-opacity='{opacity}'/>",
                list(points),
                hex(*colour)
            )?,
            Mark::Dot {
                at: (x, y),
                radius,
                colour,
                opacity,
            } => writeln!(
                file,
                "<circle cx='{x:.2}' cy='{y:.2}' r='{radius}' fill='{}' fill-opacity='{opacity}'/>",
                hex(*colour)
            )?,
            Mark::Text(text) => {
                let (x, y) = text.at;
                let turn = match text.upright {
                    true => format!(" transform='rotate(-90 {x:.2} {y:.2})'"),
                    false => String::new(),
                };
                let side = match text.side {
                    Side::Left => "start",
                    Side::Middle => "middle",
                    Side::Right => "end",
                };
                writeln!(
                    file,
                    "<text x='{x:.2}' y='{y:.2}' font-size='{:.2}' fill='{}' \
                     text-anchor='{side}'{turn}>{}</text>",
                    text.size,
                    hex(text.colour),
                    escaped(&text.words)
                )?;
            }
            Mark::Raster(cells) => {
                let n_rows = cells.cells.len() / cells.n_columns;
                let size = (cells.n_columns as u32, n_rows as u32);
                // Pixels that are written to memory: there is nothing that could fail.
                let png =
                    raster::png(size, &[cells.cells.concat()]).map_err(|_| std::fmt::Error)?;
                let place = cells.place;
                writeln!(
                    file,
                    "<image x='{:.2}' y='{:.2}' width='{:.2}' height='{:.2}' \
                     preserveAspectRatio='none' style='image-rendering: pixelated' \
                     href='data:image/png;base64,{}'/>",
                    place.left,
                    place.top,
                    place.width,
                    place.height,
                    BASE64.encode(png)
                )?;
            }
        }
    }
    writeln!(file, "</svg>")
}
