//! Scenes as pixels.
//!
//! All is drawn at four times the size that it has on the page; averaging two by two pixels gives
//! soft edges and leaves twice the size for sharp screens.

use std::error::Error as StdError;
use std::io;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters_bitmap::BitMapBackend;

use super::scene::{Mark, Point, Raster, Scene, Side};
use super::style::{Colour, font};
use crate::{Error, Result};

type Drawn = std::result::Result<(), Box<dyn StdError + Send + Sync>>;

/// Pixels drawn for one CSS pixel.
const SCALE: f64 = 4.0;

fn px((x, y): Point) -> (i32, i32) {
    ((x * SCALE).round() as i32, (y * SCALE).round() as i32)
}

fn rgb([r, g, b]: Colour) -> RGBColor {
    RGBColor(r, g, b)
}

/// RGB pixels, twice the scene's size each way.
pub fn pixels(scene: &Scene) -> Result<Vec<u8>> {
    let (width, height) = px(scene.size);
    let mut pixels = vec![255; (width * height * 3) as usize];
    for mark in &scene.marks {
        if let Mark::Raster(raster) = mark {
            fill(&mut pixels, width as usize, raster);
        }
    }
    draw(scene, &mut pixels, (width as u32, height as u32))
        .map_err(|why| Error::Msg(format!("cannot draw the figure: {why}")))?;
    Ok(halve(&pixels, width as usize))
}

/// Puts a raster's cells where they belong, a cell over several pixels.
fn fill(pixels: &mut [u8], width: usize, raster: &Raster) {
    let place = raster.place;
    let (left, top) = px((place.left, place.top));
    let (right, bottom) = px((place.right(), place.bottom()));
    let n_rows = raster.cells.len() / raster.n_columns;
    let (wide, high) = ((right - left) as usize, (bottom - top) as usize);
    for y in 0..high {
        let row = &raster.cells[y * n_rows / high * raster.n_columns..][..raster.n_columns];
        let start = ((top as usize + y) * width + left as usize) * 3;
        for (x, pixel) in pixels[start..start + wide * 3]
            .chunks_exact_mut(3)
            .enumerate()
        {
            pixel.copy_from_slice(&row[x * raster.n_columns / wide]);
        }
    }
}

fn draw(scene: &Scene, pixels: &mut [u8], size: (u32, u32)) -> Drawn {
    let area = BitMapBackend::with_buffer(pixels, size).into_drawing_area();
    for mark in &scene.marks {
        match mark {
            Mark::Line {
                points,
                width,
                colour,
            } => {
                let width = (width * SCALE).round() as u32;
                let style = rgb(*colour).stroke_width(width);
                let points: Vec<_> = points.iter().map(|&at| px(at)).collect();
                // Bit by bit, with discs between: at sharp turns plotters draws spikes.
                for ends in points.windows(2) {
                    area.draw(&PathElement::new(ends.to_vec(), style))?;
                }
                for &at in points.iter().skip(1).rev().skip(1) {
                    area.draw(&Circle::new(at, width / 2, style.filled()))?;
                }
            }
            Mark::Area {
                points,
                colour,
                opacity,
            } => {
                let points: Vec<_> = points.iter().map(|&at| px(at)).collect();
                area.draw(&Polygon::new(points, rgb(*colour).mix(*opacity)))?;
            }
            Mark::Dot {
                at,
                radius,
                colour,
                opacity,
            } => {
                let radius = (radius * SCALE).round() as i32;
                let style = rgb(*colour).mix(*opacity).filled();
                area.draw(&Circle::new(px(*at), radius, style))?;
            }
            Mark::Text(text) => {
                let font = font(text.size * SCALE);
                // plotters puts the line that letters stand on half a size below their top.
                let lift = font.get_size() / 2.0 / SCALE;
                let (x, y) = text.at;
                let (at, transform) = match text.upright {
                    true => ((x - lift, y), FontTransform::Rotate270),
                    false => ((x, y - lift), FontTransform::None),
                };
                let side = match text.side {
                    Side::Left => HPos::Left,
                    Side::Middle => HPos::Center,
                    Side::Right => HPos::Right,
                };
                let style = font
                    .transform(transform)
                    .color(&rgb(text.colour))
                    .pos(Pos::new(side, VPos::Top));
                area.draw(&plotters::element::Text::new(&*text.words, px(at), style))?;
            }
            Mark::Raster(_) => {} // is there already
        }
    }
    area.present()?;
    Ok(())
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

/// Times that an animation is shown before it rests at its last frame.
const PLAYS: u32 = 3;

/// A PNG file of RGB frames; several are shown in turn, half a second each.
pub fn png((width, height): (u32, u32), frames: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    if frames.len() > 1 {
        encoder.set_animated(frames.len() as u32, PLAYS)?;
        encoder.set_frame_delay(1, 2)?;
    }
    let mut writer = encoder.write_header()?;
    for frame in frames {
        writer.write_image_data(frame)?;
    }
    writer.finish()?;
    Ok(file)
}
