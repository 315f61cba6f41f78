//! Panels as plotters' charts.

use plotters::chart::SeriesAnno;
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters_backend::BackendCoord;

use super::color::reduce;
use super::diagrams;
use super::panel::{Axes, Content, HeatMap, Kind, Panel, Series};
use super::scale::Scale;
use super::style::{
    AXIS_WIDTH, BASE, CURVE_WIDTH, CURVES, GRAY, MARKER, SCALE, SMALL, TICK, fit_font, font, px,
    stroke, text_width,
};

pub type Area<DB> = DrawingArea<DB, Shift>;
pub type DrawResult<DB> = Result<(), DrawError<DB>>;
type DrawError<DB> = DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>;
type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<Scale, Scale>>;

/// Fills an area with a panel.
pub fn draw_panel<DB: DrawingBackend>(area: &Area<DB>, panel: &Panel) -> DrawResult<DB> {
    match &panel.content {
        Content::Axes(axes) => draw_axes(area, axes),
        Content::HeatMap(map) => draw_heat_map(area, map),
        Content::Network => diagrams::network(area),
        Content::Grating(ori) => diagrams::grating(area, *ori),
        Content::Descent(path) => diagrams::descent(area, path),
    }
}

/// Draws a title at the top of an area and returns the rest of it.
pub fn draw_title<DB: DrawingBackend>(
    area: &Area<DB>,
    title: &str,
    size: f64,
) -> Result<Area<DB>, DrawError<DB>> {
    let font = fit_font(title, size, area.dim_in_pixel().0 as i32 - px(2.0 * TICK));
    Ok(area.titled(title, font)?.margin(px(TICK), 0, 0, 0))
}

/// Draws axes with ticks and labels. Above the highest value, `headroom` pixels are free.
fn build_chart<'a, DB: DrawingBackend + 'a>(
    area: &Area<DB>,
    x: &Scale,
    y: Scale,
    headroom: i32,
) -> Result<Chart<'a, DB>, DrawError<DB>> {
    let (small, line) = (font(SMALL), px(SMALL));
    let (width, height) = area.dim_in_pixel();
    let below = x.clone().ticked(5).label_area(line);
    let plot_height = height as i32 - below - line / 2;
    let y = y.ticked((plot_height - headroom) * 2 / (line * 5));
    let y = y.with_headroom(f64::from(headroom) / f64::from(plot_height));
    let beside = y.label_area(y.max_label_width(&small));
    let plot_width = width as i32 - beside - px(2.0 * TICK);
    let with_ticks = |n| x.clone().ticked(n);
    let fits = |x: &Scale| {
        let n_ticks = x.key_points(0).len() as i32;
        n_ticks * (x.max_label_width(&small) + line * 4 / 5) <= plot_width
    };
    let x = (2..10).rev().map(with_ticks).find(fits).unwrap_or_else(|| with_ticks(1));

    let (x_label, y_label) = (x.description(), y.description());
    let fonts = [fit_font(&x_label, BASE, plot_width), fit_font(&y_label, BASE, plot_height)];
    let font = fonts.into_iter().min_by(|a, b| a.font.get_size().total_cmp(&b.font.get_size()));
    let mut chart = ChartBuilder::on(area)
        .margin_top(line / 2)
        .margin_right((x.max_label_width(&small) / 2).max(px(TICK)))
        .set_label_area_size(LabelAreaPosition::Left, beside)
        .set_label_area_size(LabelAreaPosition::Bottom, below)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(stroke(BLACK, AXIS_WIDTH))
        .set_all_tick_mark_size(px(TICK))
        .label_style(small.clone())
        .axis_desc_style(font.unwrap_or(small))
        .x_desc(x_label)
        .y_desc(y_label)
        .draw()?;
    Ok(chart)
}

fn draw_axes<DB: DrawingBackend>(area: &Area<DB>, axes: &Axes) -> DrawResult<DB> {
    let (x_scale, y_scale) = (axes.x_scale(), axes.y_scale());
    let is_shown = |(x, y): &(f64, f64)| x_scale.contains(*x) && y_scale.contains(*y);
    let legend = legend_layout(axes, area.dim_in_pixel());
    let headroom = match &legend {
        Some((_, (_, height))) if axes.has_bars() => *height,
        _ => 0,
    };
    let mut chart = build_chart(area, &x_scale, y_scale.clone(), headroom)?;
    let mut shown = Vec::new();
    for (i, series) in axes.series.iter().enumerate() {
        let number = axes.number(i);
        let color = CURVES[number % CURVES.len()];
        let stacked = axes.stacked(i);
        let tops = stacked.iter().map(|(_, top)| *top);
        let points: Vec<(f64, f64)> = series.x.iter().copied().zip(tops).collect();
        let shown_points = || points.iter().copied().filter(is_shown);
        let anno = match series.kind {
            Kind::Line => {
                let pieces = || points.split(|at| !is_shown(at));
                let lone_points = pieces().filter(|piece| piece.len() == 1);
                let dot = |piece: &[_]| Circle::new(piece[0], px(CURVE_WIDTH), color.filled());
                chart.draw_series(lone_points.map(dot))?;
                let lines = pieces().filter(|piece| piece.len() > 1);
                let line = |piece| PathElement::new(piece, stroke(color, CURVE_WIDTH));
                chart.draw_series(lines.map(line))?
            }
            Kind::Points => {
                let style = color.mix(if points.len() > 50 { 0.6 } else { 0.9 });
                let marker = |at| EmptyElement::at(at) + marker(number, MARKER, &style);
                chart.draw_series(shown_points().map(marker))?
            }
            Kind::Bars => {
                let half = axes.bar_width() / 2.0;
                let bars = points.iter().zip(&stacked).filter(|(at, _)| is_shown(at));
                chart.draw_series(bars.map(|(&(x, _), &(bottom, top))| {
                    Rectangle::new([(x - half, bottom), (x + half, top)], color.filled())
                }))?
            }
            Kind::Reference => {
                let style = stroke(GRAY, CURVE_WIDTH * 0.8);
                let line = DashedLineSeries::new(shown_points(), px(6.0), px(4.0), style);
                chart.draw_series(line)?
            }
        };
        add_to_legend(anno, series, number, color);
        if series.kind == Kind::Line && axes.number(axes.series.len()) > 1 {
            // A marker with a white rim tells lines apart, besides the color: at the peak of a tuning
            // curve, and at the end of a loss curve, which begins at its peak.
            let peak = shown_points().max_by(|a, b| a.1.total_cmp(&b.1));
            let marked =
                if peak == shown_points().next() { shown_points().next_back() } else { peak };
            chart.draw_series(marked.map(|at| {
                EmptyElement::at(at) + marker(number, 5.0, &WHITE) + marker(number, MARKER, &color)
            }))?;
        }
        shown.extend(shown_points());
    }
    let Some((font, size)) = legend else {
        return Ok(());
    };
    let position = if axes.has_bars() {
        SeriesLabelPosition::UpperLeft
    } else {
        free_corner(&chart, size, &shown)
    };
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.8))
        .label_font(font)
        .legend_area_size(px(30.0))
        .margin(px(TICK))
        .draw()
}

/// The marker of a series, around (0, 0).
fn marker(number: usize, radius: f64, color: &impl Color) -> Polygon<BackendCoord> {
    let corners = match number % 4 {
        0 => (0..32).map(|i| (f64::from(i) * 0.1963).sin_cos()).collect(),
        1 => vec![(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)],
        2 => vec![(0.0, -1.3), (1.25, 0.9), (-1.25, 0.9)],
        _ => vec![(0.0, -1.4), (1.4, 0.0), (0.0, 1.4), (-1.4, 0.0)],
    };
    let corner = |(x, y): &(f64, f64)| (px(x * radius), px(y * radius));
    Polygon::new(corners.iter().map(corner).collect::<Vec<_>>(), color.filled())
}

/// Gives a series with a name its entry in the legend: a sample and the name.
fn add_to_legend<'a, DB: DrawingBackend + 'a>(
    anno: &mut SeriesAnno<'a, DB>,
    series: &Series,
    number: usize,
    color: RGBColor,
) {
    if series.name.is_empty() {
        return;
    }
    let length = px(24.0);
    anno.label(series.name.as_str());
    match series.kind {
        Kind::Line => anno.legend(move |(x, y)| {
            EmptyElement::at((x + length / 2, y))
                + PathElement::new([(-length / 2, 0), (length / 2, 0)], stroke(color, CURVE_WIDTH))
                + marker(number, MARKER, &color)
        }),
        Kind::Points => anno.legend(move |(x, y)| {
            EmptyElement::at((x + length / 2, y)) + marker(number, MARKER, &color)
        }),
        Kind::Bars => anno.legend(move |(x, y)| {
            let corners = [(x, y - px(5.0)), (x + length, y + px(5.0))];
            Rectangle::new(corners, color.filled())
        }),
        Kind::Reference => anno.legend(move |(x, y)| {
            let style = stroke(GRAY, CURVE_WIDTH * 0.8);
            DashedPathElement::new([(x, y), (x + length, y)], px(6.0), px(4.0), style)
        }),
    };
}

/// The font and the size in pixels of a legend, which takes at most half of a panel's width and
/// height. `None` if no series has a name.
fn legend_layout(axes: &Axes, panel: (u32, u32)) -> Option<(TextStyle<'static>, BackendCoord)> {
    let names = axes.series.iter().map(|series| series.name.as_str());
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    let name_width = |name: &&str| text_width(name, &font(SMALL));
    let longest = names.iter().copied().max_by_key(name_width)?;
    // plotters' line height, which includes the margin here.
    let line_height = |font: &TextStyle| 1.25 * font.font.get_size();
    let max_line_height = f64::from(panel.1) / 2.0 / names.len() as f64;
    let size = SMALL * (max_line_height / line_height(&font(SMALL))).min(1.0);
    let font = fit_font(longest, size, panel.0 as i32 / 2);
    let height = line_height(&font) * names.len() as f64;
    let size = (text_width(longest, &font) + px(40.0), height as i32 + px(2.0 * TICK));
    Some((font, size))
}

/// The corner in which a legend of this size hides the fewest points.
fn free_corner<DB: DrawingBackend>(
    chart: &Chart<DB>,
    (width, height): BackendCoord,
    points: &[(f64, f64)],
) -> SeriesLabelPosition {
    use SeriesLabelPosition::{LowerLeft, LowerRight, UpperLeft, UpperRight};
    let (x_range, y_range) = chart.plotting_area().get_pixel_range();
    let n_hidden = |corner: &SeriesLabelPosition| {
        let is_hidden = |at: &&(f64, f64)| {
            let (x, y) = chart.backend_coord(at);
            let is_left = matches!(corner, UpperLeft | LowerLeft);
            let is_upper = matches!(corner, UpperLeft | UpperRight);
            let dx = if is_left { x - x_range.start } else { x_range.end - x };
            let dy = if is_upper { y - y_range.start } else { y_range.end - y };
            dx < width && dy < height
        };
        points.iter().filter(is_hidden).count()
    };
    let corners = [UpperRight, UpperLeft, LowerRight, LowerLeft];
    corners.into_iter().min_by_key(n_hidden).unwrap_or(UpperRight)
}

fn draw_heat_map<DB: DrawingBackend>(area: &Area<DB>, map: &HeatMap) -> DrawResult<DB> {
    let (width, height) = area.dim_in_pixel();
    let n_rows = map.values.len() / map.n_columns;
    let scale = |label: &str, low, high| {
        let ticks = (!map.has_ticks).then(Vec::new);
        Scale { label: label.into(), integer: true, ticks, ..Scale::linear(low, high) }
    };
    let x = scale(&map.x_label, -0.5, map.n_columns as f64 - 0.5);
    let y = scale(&map.y_label, n_rows as f64 - 0.5, -0.5);

    // The color bar takes the width that its labels need, the map the rest.
    let colors =
        Scale { label: map.color_label.clone(), ..Scale::linear(map.limits.0, map.limits.1) };
    let below = x.label_area(px(SMALL));
    let colors = colors.ticked((height as i32 - below) / (px(SMALL) * 3));
    let beside = colors.label_area(colors.max_label_width(&font(SMALL)));
    let (left, right) = area.split_horizontally(width as i32 - beside - 2 * px(BASE));
    let mut chart = build_chart(&left, &x, y, 0)?;
    let (width, height) = chart.plotting_area().dim_in_pixel();
    let max_cells = [width, height].map(|extent| (extent * 2 / SCALE) as usize);
    let (values, n_columns) = reduce(&map.values, map.n_columns, max_cells);
    let cell_width = map.n_columns as f64 / n_columns as f64;
    let cell_height = n_rows as f64 / (values.len() / n_columns) as f64;
    chart.draw_series(values.iter().enumerate().map(|(i, value)| {
        let corner = |row: usize, column: usize| {
            (column as f64 * cell_width - 0.5, row as f64 * cell_height - 0.5)
        };
        let (row, column) = (i / n_columns, i % n_columns);
        let color = map.colors.at(colors.normalize(f64::from(*value)));
        Rectangle::new([corner(row, column), corner(row + 1, column + 1)], color.filled())
    }))?;
    draw_color_bar(&right, map, colors, [beside, below])
}

fn draw_color_bar<DB: DrawingBackend>(
    area: &Area<DB>,
    map: &HeatMap,
    colors: Scale,
    [beside, below]: [i32; 2],
) -> DrawResult<DB> {
    let (width, height) = area.dim_in_pixel();
    let (low, high) = map.limits;
    let label = colors.description();
    let mut bar = ChartBuilder::on(&area.margin(px(SMALL) / 2, 0, px(BASE), 0))
        .set_label_area_size(LabelAreaPosition::Right, beside)
        .set_label_area_size(LabelAreaPosition::Bottom, below)
        .build_cartesian_2d(Scale::linear(0.0, 1.0), colors)?;
    bar.draw_series((0..256).map(|i| {
        let at = |i: i32| low + (high - low) * f64::from(i) / 256.0;
        let color = map.colors.at((f64::from(i) + 0.5) / 256.0);
        Rectangle::new([(0.0, at(i)), (1.0, at(i + 1))], color.filled())
    }))?;
    bar.configure_mesh()
        .disable_mesh()
        .disable_x_axis()
        .axis_style(stroke(BLACK, AXIS_WIDTH))
        .set_all_tick_mark_size(px(TICK))
        .label_style(font(SMALL))
        .draw()?;
    let rim = Rectangle::new([(0.0, low), (1.0, high)], stroke(BLACK, AXIS_WIDTH));
    bar.draw_series([rim])?;
    let height = height as i32 - below;
    let upward = fit_font(&label, BASE, height)
        .transform(FontTransform::Rotate270)
        .pos(Pos::new(HPos::Center, VPos::Bottom));
    area.draw_text(&label, &upward, (width as i32, height / 2))
}
