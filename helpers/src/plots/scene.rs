//! What a figure consists of once it is laid out: marks at places, in CSS pixels from the upper left
//! corner. It can then be written as pixels or as SVG.

use super::style::{BLACK, Colour, text_width};
use crate::Result;

/// Horizontal place, then vertical place.
pub type Point = (f64, f64);

/// Laid out figure.
pub struct Scene {
    pub size: Point,
    pub marks: Vec<Mark>,
}

pub enum Mark {
    /// Through all the points.
    Line {
        points: Vec<Point>,
        width: f64,
        colour: Colour,
    },
    /// Closed and filled.
    Area {
        points: Vec<Point>,
        colour: Colour,
        opacity: f64,
    },
    Dot {
        at: Point,
        radius: f64,
        colour: Colour,
        opacity: f64,
    },
    Text(Text),
    Raster(Raster),
}

#[derive(Clone)]
pub struct Text {
    pub words: String,
    /// On the line that letters stand on.
    pub at: Point,
    pub size: f64,
    pub colour: Colour,
    pub side: Side,
    /// From bottom to top in place of left to right.
    pub upright: bool,
}

/// Which part of a text is at its place.
#[derive(Clone, Copy, PartialEq)]
pub enum Side {
    Left,
    Middle,
    Right,
}

/// Coloured cells that fill a rectangle.
pub struct Raster {
    pub place: Place,
    pub cells: Vec<Colour>,
    pub n_columns: usize,
}

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Place {
    pub fn right(&self) -> f64 {
        self.left + self.width
    }

    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub fn middle(&self) -> Point {
        (self.left + self.width / 2.0, self.top + self.height / 2.0)
    }

    pub fn has(&self, (x, y): Point) -> bool {
        (self.left..=self.right()).contains(&x) && (self.top..=self.bottom()).contains(&y)
    }

    /// What is left without these margins: left, right, top, bottom.
    pub fn within(&self, [left, right, top, bottom]: [f64; 4]) -> Self {
        Self {
            left: self.left + left,
            top: self.top + top,
            width: (self.width - left - right).max(1.0),
            height: (self.height - top - bottom).max(1.0),
        }
    }
}

impl Text {
    /// The part of the page that a text takes, letters with parts above and below included.
    #[cfg(test)]
    pub fn place(&self) -> Result<Place> {
        let width = text_width(&self.words, self.size)?;
        let along = match self.side {
            Side::Left => 0.0,
            Side::Middle => width / 2.0,
            Side::Right => width,
        };
        let (above, below) = (0.76 * self.size, 0.24 * self.size);
        let (x, y) = self.at;
        Ok(if self.upright {
            Place {
                left: x - above,
                top: y - width + along,
                width: above + below,
                height: width,
            }
        } else {
            Place {
                left: x - along,
                top: y - above,
                width,
                height: above + below,
            }
        })
    }
}

impl Scene {
    pub fn line(&mut self, points: Vec<Point>, width: f64, colour: Colour) {
        self.marks.push(Mark::Line {
            points,
            width,
            colour,
        });
    }

    /// In dashes, `on` long with `off` between them.
    pub fn dashed(&mut self, [from, to]: [Point; 2], width: f64, colour: Colour) {
        let (on, off) = (6.0, 4.0);
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let at = |along: f64| {
            let t = (along / length).min(1.0);
            (from.0 + (to.0 - from.0) * t, from.1 + (to.1 - from.1) * t)
        };
        let n_dashes = (length / (on + off)).ceil() as usize;
        for start in (0..n_dashes).map(|i| i as f64 * (on + off)) {
            self.line(vec![at(start), at(start + on)], width, colour);
        }
    }

    pub fn dot(&mut self, at: Point, radius: f64, colour: Colour, opacity: f64) {
        self.marks.push(Mark::Dot {
            at,
            radius,
            colour,
            opacity,
        });
    }

    pub fn area(&mut self, points: Vec<Point>, colour: Colour, opacity: f64) {
        self.marks.push(Mark::Area {
            points,
            colour,
            opacity,
        });
    }

    pub fn rectangle(&mut self, place: Place, colour: Colour, opacity: f64) {
        let (left, top) = (place.left, place.top);
        let (right, bottom) = (place.right(), place.bottom());
        let corners = vec![(left, top), (right, top), (right, bottom), (left, bottom)];
        self.area(corners, colour, opacity);
    }

    pub fn text(&mut self, words: &str, at: Point, size: f64, colour: Colour, side: Side) {
        self.write(Text {
            words: words.to_owned(),
            at,
            size,
            colour,
            side,
            upright: false,
        });
    }

    fn write(&mut self, text: Text) {
        if !text.words.is_empty() {
            self.marks.push(Mark::Text(text));
        }
    }

    /// A text, smaller if it has to be, whose middle is at a point, along an extent.
    pub fn fitted(
        &mut self,
        words: &str,
        at: Point,
        size: f64,
        extent: f64,
        upright: bool,
    ) -> Result<()> {
        let width = text_width(words, size)?;
        let size = size * (extent / width.max(1.0)).min(1.0);
        self.write(Text {
            words: words.to_owned(),
            at,
            size,
            colour: BLACK,
            side: Side::Middle,
            upright,
        });
        Ok(())
    }
}
