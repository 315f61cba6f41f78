//! A PNG canvas: plotters' bitmap backend with round joins, text in its place and soft edges, which
//! plotters does not have.

use std::io;

use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    rasterizer,
    text_anchor::{HPos, VPos},
};
use plotters_bitmap::{BitMapBackend, BitMapBackendError};

type Drawn = Result<(), DrawingErrorKind<BitMapBackendError>>;

pub struct Canvas<'a>(pub BitMapBackend<'a>);

impl DrawingBackend for Canvas<'_> {
    type ErrorType = BitMapBackendError;

    fn get_size(&self) -> (u32, u32) {
        self.0.get_size()
    }

    fn ensure_prepared(&mut self) -> Drawn {
        self.0.ensure_prepared()
    }

    fn present(&mut self) -> Drawn {
        self.0.present()
    }

    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Drawn {
        self.0.draw_pixel(at, color)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        self.0.draw_rect(from, to, style, fill)
    }

    /// Draws a path segment by segment, with discs between: plotters draws spikes at sharp turns.
    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let points: Vec<_> = path.into_iter().collect();
        for ends in points.windows(2) {
            let outline = rasterizer::polygonize(ends, style.stroke_width());
            self.fill_polygon(outline, &style.color())?;
        }
        for &at in points.iter().skip(1).rev().skip(1) {
            self.draw_circle(at, style.stroke_width() / 2, style, true)?;
        }
        Ok(())
    }

    /// Draws a text so that the top, middle or bottom of its letters is at `at`: plotters draws its
    /// texts too high, since it puts the baseline half a size below the top.
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let font_error = |err| DrawingErrorKind::FontError(Box::new(err));
        let (_, (width, _)) = style.layout_box(text).map_err(font_error)?;
        let dx = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let dy = match style.anchor().v_pos {
            VPos::Top => 0.13,
            VPos::Center => -0.19,
            VPos::Bottom => -0.7,
        };
        let (dy, rotation) = ((dy * style.size()) as i32, style.transform());
        let drawn = style.draw(text, (0, 0), |x, y, color| {
            let (x, y) = rotation.transform(x + dx, y + dy);
            self.draw_pixel((at.0 + x, at.1 + y), color)
        });
        drawn.map_err(font_error)?
    }
}

/// Averages RGB pixels two by two.
pub fn halve(pixels: &[u8], width: usize) -> Vec<u8> {
    let row_bytes = width * 3;
    let mut half = Vec::with_capacity(pixels.len() / 4);
    for rows in pixels.chunks_exact(2 * row_bytes) {
        let (upper, lower) = rows.split_at(row_bytes);
        for (u, l) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for c in 0..3 {
                let sum: u16 = [u[c], u[c + 3], l[c], l[c + 3]].into_iter().map(u16::from).sum();
                half.push(((sum + 2) / 4) as u8);
            }
        }
    }
    half
}

/// A PNG file of RGB frames. Several frames are an animation with half a second for each, which is
/// played three times before it stops at its last frame.
pub fn png((width, height): (u32, u32), frames: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    if frames.len() > 1 {
        encoder.set_animated(frames.len() as u32, 3)?;
        encoder.set_frame_delay(1, 2)?;
    }
    let mut writer = encoder.write_header()?;
    for frame in frames {
        writer.write_image_data(frame)?;
    }
    writer.finish()?;
    Ok(file)
}
