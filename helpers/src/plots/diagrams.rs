//! The network of section 2, and gradient descent on a parabola.

use super::scene::{Place, Point, Scene, Side};
use super::style::{AXIS_WIDTH, BASE, BLACK, CURVES, Colour, GREY, SMALL, text_width};
use crate::Result;

const BLUE: Colour = CURVES[0];
const RED: Colour = CURVES[1];

/// From a drawing of a size of its own to a place on the page.
struct Sketch {
    scale: f64,
    origin: Point,
}

impl Sketch {
    fn into(place: Place, (width, height): Point) -> Self {
        let scale = (place.width / width).min(place.height / height);
        let (x, y) = place.middle();
        Self {
            scale,
            origin: (x - width * scale / 2.0, y - height * scale / 2.0),
        }
    }

    fn at(&self, (x, y): Point) -> Point {
        (
            self.origin.0 + x * self.scale,
            self.origin.1 + y * self.scale,
        )
    }

    /// A disc with a rim.
    fn unit(&self, scene: &mut Scene, at: Point, fill: Colour) {
        scene.dot(self.at(at), 18.0 * self.scale, GREY, 1.0);
        scene.dot(self.at(at), 16.5 * self.scale, fill, 1.0);
    }

    /// Text with its middle at a point.
    fn text(&self, scene: &mut Scene, words: &str, (x, y): Point, size: f64) {
        let at = self.at((x, y + size * 0.36));
        scene.text(words, at, size * self.scale, BLACK, Side::Middle);
    }

    /// A letter with a small one above or below its right side.
    fn symbol(
        &self,
        scene: &mut Scene,
        name: [&str; 2],
        above: bool,
        at: Point,
        colour: Colour,
    ) -> Result<()> {
        let [letter, index] = name;
        let small = SMALL * 0.75;
        let width = text_width(letter, BASE)?;
        let left = at.0 - (width + text_width(index, small)?) / 2.0;
        let line = at.1 + BASE * 0.3;
        let raised = if above { -BASE * 0.4 } else { BASE * 0.22 };
        let scale = self.scale;
        scene.text(
            letter,
            self.at((left, line)),
            BASE * scale,
            colour,
            Side::Left,
        );
        let at = self.at((left + width, line + raised));
        scene.text(index, at, small * scale, colour, Side::Left);
        Ok(())
    }
}

/// Three layers of circles, a line for each weight.
pub fn network(scene: &mut Scene, place: Place) -> Result<()> {
    let sketch = Sketch::into(place, (640.0, 300.0));
    let responses = [40.0, 92.0, 144.0, 232.0].map(|y| (130.0, y));
    let hidden = [66.0, 118.0, 206.0].map(|y| (320.0, y));
    let output = (510.0, 136.0);
    let pale = CURVES[0].map(|c| c / 2 + 127);
    for h in hidden {
        for end in responses.into_iter().chain([output]) {
            let ends = vec![sketch.at(h), sketch.at(end)];
            scene.line(ends, 1.2 * sketch.scale, pale);
        }
    }
    for (index, at) in ["1", "2", "3", "N"].into_iter().zip(responses) {
        sketch.unit(scene, at, [232, 232, 232]);
        sketch.symbol(scene, ["r", index], false, at, BLACK)?;
    }
    for (index, at) in ["1", "2", "M"].into_iter().zip(hidden) {
        sketch.unit(scene, at, [253, 224, 200]);
        sketch.symbol(scene, ["h", index], false, at, BLACK)?;
    }
    sketch.unit(scene, output, [205, 235, 222]);
    sketch.text(scene, "y", output, BASE);
    for (x, middle) in [(130.0, 188.0), (320.0, 162.0)] {
        for y in [middle - 8.0, middle, middle + 8.0] {
            scene.dot(sketch.at((x, y)), 2.0 * sketch.scale, BLACK, 1.0);
        }
    }
    for (name, at) in [
        (["W", "in"], (212.0, 30.0)),
        (["b", "in"], (320.0, 34.0)),
        (["W", "out"], (424.0, 66.0)),
        (["b", "out"], (510.0, 104.0)),
    ] {
        sketch.symbol(scene, name, true, at, BLUE)?;
    }
    for (words, x) in [
        ("neural responses", 130.0),
        ("hidden units", 320.0),
        ("decoded orientation", 510.0),
    ] {
        sketch.text(scene, words, (x, 276.0), SMALL);
    }
    Ok(())
}

/// The parabola `L = w^2`, the steps so far, and the slope at the last of them.
pub fn descent(scene: &mut Scene, path: &[f64], place: Place) -> Result<()> {
    let size = (620.0, 380.0);
    let sketch = Sketch::into(place, size);
    let (left, bottom) = (40.0, size.1 - 40.0);
    let on_page = |w: f64, loss: f64| {
        sketch.at((
            left + (w + 2.2) / 4.4 * (size.0 - left),
            bottom - (loss + 0.3) / 4.9 * (bottom - 40.0),
        ))
    };
    let loss = |w: f64| w * w;
    let corner = [(left, 40.0), (left, bottom), (size.0, bottom)].map(|at| sketch.at(at));
    scene.line(corner.to_vec(), AXIS_WIDTH, BLACK);
    sketch.text(
        scene,
        "weight w",
        ((left + size.0) / 2.0, bottom + 22.0),
        BASE,
    );
    let beside = sketch.at((left - 14.0, (40.0 + bottom) / 2.0));
    scene.fitted("loss L", beside, BASE * sketch.scale, place.height, true)?;

    let curve = (-210..=210)
        .map(|i| f64::from(i) / 100.0)
        .map(|w| on_page(w, loss(w)));
    scene.line(curve.collect(), 2.0, GREY);
    for &w in path {
        scene.dot(on_page(w, loss(w)), 4.0, BLUE, 0.45);
    }
    let Some(&w) = path.last() else {
        return Ok(());
    };
    let slope = 2.0 * w;
    let reach = 0.55 / (1.0 + (slope / 2.0).powi(2)).sqrt();
    let tangent = [w - reach, w + reach].map(|x| on_page(x, loss(w) + slope * (x - w)));
    scene.line(tangent.to_vec(), 2.2, RED);
    scene.dot(on_page(w, loss(w)), 7.0, BLUE, 1.0);
    let words = format!(
        "step {}:  w = {w:.2},  slope dL/dw = {slope:.2}",
        path.len() - 1
    )
    .replace('-', "\u{2212}");
    sketch.text(scene, &words, (size.0 / 2.0, 18.0), BASE);
    Ok(())
}
