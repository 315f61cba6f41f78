//! Laying out panels: what goes where, in CSS pixels.

use super::colour::reduce;
use super::diagrams;
use super::panel::{Axes, Content, HeatMap, Kind, Panel, Series};
use super::scene::{Mark, Place, Point, Raster, Scene, Side};
use super::style::{
    AXIS_WIDTH, BASE, BLACK, CURVE_WIDTH, CURVES, Colour, GAP, GREY, SMALL, TICK, WHITE, text_width,
};
use super::ticks::Range;
use crate::Result;

/// Puts a panel into its place. `letters` is the size of letters, 1 as a rule; `titled` whether to
/// leave room for a title.
pub fn lay_out(
    scene: &mut Scene,
    panel: &Panel,
    place: Place,
    letters: f64,
    titled: bool,
) -> Result<()> {
    let base = BASE * letters;
    let at = (place.middle().0, place.top + base);
    scene.fitted(&panel.title, at, base, place.width, false)?;
    let place = place.within([0.0, 0.0, if titled { base * 1.5 } else { 0.0 }, 0.0]);
    match &panel.content {
        Content::Axes(content) => axes(scene, content, place, letters),
        Content::HeatMap(content) => heat_map(scene, content, place, letters),
        Content::Network => diagrams::network(scene, place),
        Content::Descent(path) => diagrams::descent(scene, path, place),
    }
}

/// One axis of two.
struct Axis<'a> {
    label: &'a str,
    range: Range,
    /// Chosen by the range where there are none.
    ticks: &'a [f64],
    /// Whether there are ticks at all.
    ticked: bool,
    /// Whether high values are at the top, or, as rows of a matrix, at the bottom.
    downward: bool,
}

/// The space between axes, and how to get there.
struct Frame {
    inside: Place,
    x: Range,
    y: Range,
    downward: bool,
}

impl Frame {
    fn at(&self, x: f64, y: f64) -> Point {
        let (across, up) = (self.x.part(x), self.y.part(y));
        let down = if self.downward { up } else { 1.0 - up };
        (
            self.inside.left + across * self.inside.width,
            self.inside.top + down * self.inside.height,
        )
    }
}

/// Draws spines, ticks and labels; what is within is drawn afterwards.
fn frame(scene: &mut Scene, place: Place, x: &Axis, y: &Axis, letters: f64) -> Result<Frame> {
    let (base, small) = (BASE * letters, SMALL * letters);
    let label_room = |label: &str| if label.is_empty() { 0.0 } else { base * 1.6 };
    let tick_room = |axis: &Axis, size: f64| if axis.ticked { TICK + GAP + size } else { GAP };

    // Upwards first: how high the space is does not depend on the labels beside it.
    let below = tick_room(x, small) + label_room(x.label) + GAP;
    let mut above = small * 0.6;
    let ticks_of = |axis: &Axis, n: f64| match axis.ticks {
        _ if !axis.ticked => Vec::new(),
        [] => axis.range.ticks(n),
        own => own.to_vec(),
    };
    let n_ticks = ((place.height - above - below) / (small * 2.4)).clamp(1.0, 9.0);
    let y_ticks = ticks_of(y, n_ticks);
    let (y_labels, y_factor) = y.range.labels(&y_ticks);
    if !y_factor.is_empty() {
        above += small * 1.2;
    }
    let mut widest = 0f64;
    for label in &y_labels {
        widest = widest.max(text_width(label, small)?);
    }
    let beside = tick_room(y, widest) + label_room(y.label);

    // Then sideways: as many ticks as there is room for their labels.
    let mut inside = place.within([beside, GAP * 2.0, above, below]);
    let mut n_ticks = 9.0;
    let (x_ticks, x_labels, x_factor) = loop {
        let ticks = ticks_of(x, n_ticks);
        let (mut labels, factor) = x.range.labels(&ticks);
        let part = |tick: f64| x.range.part(tick) * inside.width;
        let mut free_from = f64::NEG_INFINITY;
        let (mut overlap, mut overhang) = (false, 0f64);
        for (tick, label) in ticks.iter().zip(&mut labels) {
            let half = text_width(label, small)? / 2.0;
            if part(*tick) - half < free_from {
                overlap = true;
                if !x.ticks.is_empty() {
                    label.clear(); // one's own ticks stay
                    continue;
                }
            }
            free_from = part(*tick) + half + small * 0.6;
            overhang = part(*tick) + half - inside.width;
        }
        if overlap && x.ticks.is_empty() && n_ticks > 1.0 {
            n_ticks -= 1.0;
            continue;
        }
        if overhang > GAP * 2.0 + 0.5 && inside.right() + GAP * 2.0 >= place.right() - 0.5 {
            inside.width -= overhang - GAP * 2.0;
            continue;
        }
        break (ticks, labels, factor);
    };

    let frame = Frame {
        inside,
        x: x.range,
        y: y.range,
        downward: y.downward,
    };
    let (left, bottom) = (inside.left, inside.bottom());
    let corner = [(left, inside.top), (left, bottom), (inside.right(), bottom)];
    scene.line(corner.to_vec(), AXIS_WIDTH, BLACK);
    for (tick, label) in x_ticks.iter().zip(&x_labels) {
        let (at, _) = frame.at(*tick, y.range.low);
        scene.line(vec![(at, bottom), (at, bottom + TICK)], AXIS_WIDTH, BLACK);
        let under = (at, bottom + TICK + GAP + small * 0.76);
        scene.text(label, under, small, BLACK, Side::Middle);
    }
    for (tick, label) in y_ticks.iter().zip(&y_labels) {
        let (_, at) = frame.at(x.range.low, *tick);
        scene.line(vec![(left - TICK, at), (left, at)], AXIS_WIDTH, BLACK);
        let beside = (left - TICK - GAP, at + small * 0.36);
        scene.text(label, beside, small, BLACK, Side::Right);
    }
    for tick in y.range.minor_ticks() {
        let (_, at) = frame.at(x.range.low, tick);
        scene.line(
            vec![(left - TICK * 0.6, at), (left, at)],
            AXIS_WIDTH * 0.75,
            BLACK,
        );
    }
    let at = (left, inside.top - small * 0.5);
    scene.text(&y_factor, at, small, BLACK, Side::Left);
    let line = bottom + tick_room(x, small) + base * 1.25;
    scene.text(&x_factor, (inside.right(), line), small, BLACK, Side::Right);

    let factor_width = text_width(&x_factor, small)?;
    let extent = inside.width - 2.0 * (factor_width + GAP);
    scene.fitted(x.label, (inside.middle().0, line), base, extent, false)?;
    let beside = (place.left + base * 0.85, inside.middle().1);
    scene.fitted(y.label, beside, base, inside.height + above, true)?;
    Ok(frame)
}

fn axes(scene: &mut Scene, axes: &Axes, place: Place, letters: f64) -> Result<()> {
    let axis = |label, range, ticks| Axis {
        label,
        range,
        ticks,
        ticked: true,
        downward: false,
    };
    let x = axis(&axes.x_label, axes.x_range(), &axes.x_ticks);
    let y = axis(&axes.y_label, axes.y_range(), &axes.y_ticks);
    let legend = Legend::of(axes, letters, place.width)?;
    let place = match &legend {
        Some(legend) if axes.has_bars() => {
            legend.in_a_row(scene, axes, place);
            place.within([0.0, 0.0, legend.line, 0.0])
        }
        _ => place,
    };
    let frame = frame(scene, place, &x, &y, letters)?;
    let several = axes
        .series
        .iter()
        .filter(|series| series.kind != Kind::Reference)
        .count()
        > 1;
    let (mut seen, mut markers) = (Vec::new(), Vec::new());
    for (i, series) in axes.series.iter().enumerate() {
        let look = Look::of(axes, i);
        let points: Vec<Point> = series
            .x
            .iter()
            .zip(axes.tops(i))
            .map(
                |(&x, (_, top))| match x.is_finite() && y.range.part(top).is_finite() {
                    true => frame.at(x, top),
                    false => (f64::NAN, f64::NAN),
                },
            )
            .collect();
        match series.kind {
            Kind::Line => {
                curve(scene, &points, look.colour);
                if several {
                    let every = (points.len() / 8).max(1);
                    let first = every * (2 * look.number + 1) / 8 % every;
                    let at = points.iter().copied().skip(first).step_by(every);
                    markers.extend(at.map(|at| (i, at)));
                }
            }
            Kind::Points => {
                let opacity = if points.len() > 50 { 0.6 } else { 0.9 };
                for &at in &points {
                    look.mark(scene, at, opacity);
                }
            }
            Kind::Bars => {
                let half = axes.bar_width() / 2.0;
                for (&x, (bottom, top)) in series.x.iter().zip(axes.tops(i)) {
                    let (left, high) = frame.at(x - half, top);
                    let (right, low) = frame.at(x + half, bottom);
                    if [left, high, right, low].iter().all(|x| x.is_finite()) {
                        let bar = Place {
                            left,
                            top: high.min(low),
                            width: right - left,
                            height: (low - high).abs(),
                        };
                        scene.rectangle(bar, look.colour, 1.0);
                    }
                }
            }
            Kind::Reference => {
                for pair in points.windows(2) {
                    scene.dashed([pair[0], pair[1]], CURVE_WIDTH * 0.8, GREY);
                }
            }
        }
        seen.extend(points);
    }
    for (i, at) in markers {
        let look = Look::of(axes, i);
        look.shape(scene, at, 5.0, WHITE, 1.0); // set off from other curves
        look.mark(scene, at, 1.0);
    }
    match legend {
        Some(legend) if !axes.has_bars() => legend.in_a_corner(scene, axes, frame.inside, &seen),
        _ => {}
    }
    Ok(())
}

/// A line through the points, interrupted where one is missing.
fn curve(scene: &mut Scene, points: &[Point], colour: Colour) {
    for part in points.split(|(x, _)| x.is_nan()) {
        match part {
            [] => {}
            [alone] => scene.dot(*alone, CURVE_WIDTH, colour, 1.0),
            part => scene.line(part.to_vec(), CURVE_WIDTH, colour),
        }
    }
}

/// Colour and marker of a series, which differ from those of others in both.
struct Look {
    number: usize,
    colour: Colour,
}

impl Look {
    fn of(axes: &Axes, i: usize) -> Self {
        let number = axes.series[..i]
            .iter()
            .filter(|series| series.kind != Kind::Reference)
            .count();
        Self {
            number,
            colour: CURVES[number % CURVES.len()],
        }
    }

    fn mark(&self, scene: &mut Scene, at: Point, opacity: f64) {
        self.shape(scene, at, 3.4, self.colour, opacity);
    }

    fn shape(&self, scene: &mut Scene, at: Point, r: f64, colour: Colour, opacity: f64) {
        let (x, y) = at;
        if x.is_nan() {
            return;
        }
        let corners: &[Point] = match self.number % 4 {
            0 => return scene.dot(at, r, colour, opacity),
            1 => &[(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)],
            2 => &[(0.0, -1.3), (1.25, 0.9), (-1.25, 0.9)],
            _ => &[(0.0, -1.4), (1.4, 0.0), (0.0, 1.4), (-1.4, 0.0)],
        };
        let corners = corners.iter().map(|(dx, dy)| (x + dx * r, y + dy * r));
        scene.area(corners.collect(), colour, opacity);
    }
}

/// The names of the series: above bars, which fill their axes, else in the corner where they hide
/// the least.
struct Legend<'a> {
    /// A series' number, and the width of its name.
    entries: Vec<(usize, &'a Series, f64)>,
    size: f64,
    line: f64,
}

impl<'a> Legend<'a> {
    const SAMPLE: f64 = 24.0;

    /// A sample, a name, and the room around them.
    fn width_of(name: f64) -> f64 {
        Self::SAMPLE + name + 3.0 * GAP
    }

    fn of(axes: &'a Axes, letters: f64, room: f64) -> Result<Option<Self>> {
        let mut size = SMALL * letters;
        let mut entries = Vec::new();
        for (i, series) in axes.series.iter().enumerate() {
            if !series.name.is_empty() {
                entries.push((i, series, text_width(&series.name, size)?));
            }
        }
        let names = entries.iter().map(|(_, _, name)| *name);
        let (n, name) = match axes.has_bars() {
            true => (entries.len(), names.sum()),
            false => (1, names.fold(0.0, f64::max)),
        };
        let shrink = ((room - Self::width_of(0.0) * n as f64) / name).clamp(0.1, 1.0);
        size *= shrink;
        entries.iter_mut().for_each(|(_, _, name)| *name *= shrink);
        let line = size * 1.4;
        Ok((!entries.is_empty()).then_some(Self {
            entries,
            size,
            line,
        }))
    }

    /// Side by side, from a place's upper left corner on.
    fn in_a_row(&self, scene: &mut Scene, axes: &Axes, place: Place) {
        let mut left = place.left + GAP;
        for &(i, series, name) in &self.entries {
            self.entry(
                scene,
                &Look::of(axes, i),
                series,
                (left, place.top + self.line / 2.0),
            );
            left += Self::width_of(name);
        }
    }

    /// One below the other in a corner.
    fn in_a_corner(&self, scene: &mut Scene, axes: &Axes, inside: Place, points: &[Point]) {
        let widest = self
            .entries
            .iter()
            .map(|(_, _, name)| *name)
            .fold(0.0, f64::max);
        let width = Self::width_of(widest);
        let height = self.line * self.entries.len() as f64 + GAP;
        let corner = |(right, low): (bool, bool)| Place {
            left: match right {
                true => inside.right() - width,
                false => inside.left + GAP,
            },
            top: match low {
                true => inside.bottom() - height - GAP,
                false => inside.top,
            },
            width,
            height,
        };
        let hidden = |place: &Place| points.iter().filter(|&&at| place.has(at)).count();
        let corners = [(true, false), (false, false), (true, true), (false, true)].map(corner);
        let Some(place) = corners.into_iter().min_by_key(hidden) else {
            return;
        };
        scene.rectangle(place, WHITE, 0.8);
        for (row, &(i, series, _)) in self.entries.iter().enumerate() {
            let y = place.top + GAP / 2.0 + self.line * (row as f64 + 0.5);
            self.entry(scene, &Look::of(axes, i), series, (place.left + GAP, y));
        }
    }

    /// A sample of a series, and its name.
    fn entry(&self, scene: &mut Scene, look: &Look, series: &Series, (left, y): Point) {
        let ends = [(left, y), (left + Self::SAMPLE, y)];
        let middle = (left + Self::SAMPLE / 2.0, y);
        match series.kind {
            Kind::Line => {
                scene.line(ends.to_vec(), CURVE_WIDTH, look.colour);
                look.mark(scene, middle, 1.0);
            }
            Kind::Points => look.mark(scene, middle, 1.0),
            Kind::Bars => scene.rectangle(
                Place {
                    left,
                    top: y - self.size * 0.35,
                    width: Self::SAMPLE,
                    height: self.size * 0.7,
                },
                look.colour,
                1.0,
            ),
            Kind::Reference => scene.dashed(ends, CURVE_WIDTH * 0.8, GREY),
        }
        let at = (left + Self::SAMPLE + GAP, y + self.size * 0.36);
        scene.text(&series.name, at, self.size, BLACK, Side::Left);
    }
}

fn heat_map(scene: &mut Scene, map: &HeatMap, place: Place, letters: f64) -> Result<()> {
    let (base, small) = (BASE * letters, SMALL * letters);
    let (low, high) = map.limits;
    let colours = Range::linear(low, high);

    // The colour bar takes what its labels need, the map the rest.
    let bar_ticks = colours.ticks((place.height / (small * 3.0)).clamp(2.0, 9.0));
    let (labels, factor) = colours.labels(&bar_ticks);
    let mut widest = text_width(&factor, small)?;
    for label in &labels {
        widest = widest.max(text_width(label, small)?);
    }
    let thick = base;
    let beside = base + thick + TICK + GAP + widest + base * 1.3;

    let n_rows = map.values.len() / map.n_columns;
    let axis = |label, n: usize, downward| Axis {
        label,
        range: Range {
            whole: true,
            ..Range::linear(-0.5, n as f64 - 0.5)
        },
        ticks: &[],
        ticked: map.numbered,
        downward,
    };
    let x = axis(&map.x_label, map.n_columns, false);
    let y = axis(&map.y_label, n_rows, true);
    let most = |extent: f64| (extent * 2.0) as usize;
    let raster_at = scene.marks.len();
    let above = if factor.is_empty() { 0.0 } else { small * 1.2 };
    let inside = frame(
        scene,
        place.within([0.0, beside, above, 0.0]),
        &x,
        &y,
        letters,
    )?
    .inside;

    let (values, n_columns) = reduce(
        &map.values,
        map.n_columns,
        most(inside.width),
        most(inside.height),
    );
    let colour = |value: f64| map.colours.at(colours.part(value));
    let raster = Raster {
        place: inside,
        cells: values.iter().map(|&x| colour(f64::from(x))).collect(),
        n_columns,
    };
    // Below the axes.
    scene.marks.insert(raster_at, Mark::Raster(raster));

    let bar = Place {
        left: inside.right() + base,
        width: thick,
        ..inside
    };
    scene.marks.push(Mark::Raster(Raster {
        place: bar,
        cells: (0..256)
            .rev()
            .map(|i| map.colours.at((f64::from(i) + 0.5) / 256.0))
            .collect(),
        n_columns: 1,
    }));
    let corners = [
        (bar.left, bar.top),
        (bar.right(), bar.top),
        (bar.right(), bar.bottom()),
        (bar.left, bar.bottom()),
        (bar.left, bar.top),
    ];
    scene.line(corners.to_vec(), AXIS_WIDTH, BLACK);
    for (tick, label) in bar_ticks.iter().zip(&labels) {
        let y = bar.bottom() - colours.part(*tick) * bar.height;
        scene.line(
            vec![(bar.right(), y), (bar.right() + TICK, y)],
            AXIS_WIDTH,
            BLACK,
        );
        let at = (bar.right() + TICK + GAP, y + small * 0.36);
        scene.text(label, at, small, BLACK, Side::Left);
    }
    let at = (bar.left, bar.top - small * 0.5);
    scene.text(&factor, at, small, BLACK, Side::Left);
    let at = (
        bar.right() + TICK + GAP + widest + base * 1.15,
        bar.middle().1,
    );
    scene.fitted(&map.colour_label, at, base, bar.height, true)
}
