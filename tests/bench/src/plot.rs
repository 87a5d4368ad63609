//! Two kinds of plot, written as SVG by hand: bars and lines. White ground, so that they can be read anywhere.

use std::fmt::Write as _;

use crate::{report::number, statistics::Spread};

const WIDTH: f64 = 820.0;
const LABELS: f64 = 250.0;
const VALUES: f64 = 90.0;
const COLOURS: [&str; 6] = ["#1f6f8b", "#e0912f", "#7a5195", "#4f9d69", "#c8553d", "#5b6770"];

/// Horizontal bars.
pub(crate) struct Bars {
    pub(crate) title: String,
    /// The name of each bar of a row.
    pub(crate) legend: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) is_logarithmic: bool,
    /// Where a line is drawn through all of them.
    pub(crate) reference: Option<f64>,
    pub(crate) unit: &'static str,
}

/// A row of bars.
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) values: Vec<Option<f64>>,
}

/// Lines over a logarithmic scale.
pub(crate) struct Lines {
    pub(crate) title: String,
    pub(crate) series: Vec<Series>,
    /// What is written where below.
    pub(crate) x: Vec<(f64, String)>,
}

/// One line.
pub(crate) struct Series {
    pub(crate) label: String,
    pub(crate) points: Vec<(f64, Spread)>,
}

impl Bars {
    /// The picture; `None` if there is nothing to show.
    pub(crate) fn svg(&self) -> Option<String> {
        let values = || self.rows.iter().flat_map(|row| row.values.iter().flatten().copied());
        let most = values().chain(self.reference).fold(f64::NAN, f64::max);
        if values().next().is_none() || most <= 0.0 {
            return None;
        }
        let least = values().chain(self.reference).fold(f64::INFINITY, f64::min);
        // A logarithmic scale begins at the power of ten below everything, and has no zero.
        let begin = if self.is_logarithmic { least.max(1e-3).log10().floor().min(0.0) } else { 0.0 };
        let place = |value: f64| {
            let share = if self.is_logarithmic {
                (value.max(1e-3).log10() - begin) / (most.log10() - begin).max(1e-9)
            } else {
                value / most
            };
            share.clamp(0.0, 1.0) * (WIDTH - LABELS - VALUES)
        };
        let bar = 14.0;
        let row_height = bar * self.legend.len() as f64 + 10.0;
        let top = if self.legend.len() > 1 { 64.0 } else { 44.0 };
        let height = top + row_height * self.rows.len() as f64 + 16.0;
        let mut svg = head(&self.title, height);
        if self.legend.len() > 1 {
            legend(&mut svg, &self.legend);
        }
        for (number_of_row, row) in self.rows.iter().enumerate() {
            let y = top + row_height * number_of_row as f64;
            let middle = y + bar * row.values.len() as f64 / 2.0 + 4.0;
            text(&mut svg, LABELS - 8.0, middle, "end", &row.label);
            for (number_of_bar, value) in row.values.iter().enumerate() {
                let Some(value) = value else { continue };
                let y = y + bar * number_of_bar as f64;
                let _ = writeln!(
                    svg,
                    "<rect x=\"{LABELS}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
                    place(*value).max(1.0),
                    bar - 2.0,
                    colour(number_of_bar)
                );
                let label = format!("{} {}", number(*value), self.unit);
                text(&mut svg, LABELS + place(*value) + 6.0, y + bar - 4.0, "start", &label);
            }
        }
        if let Some(reference) = self.reference {
            let x = LABELS + place(reference);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#222\" stroke-dasharray=\"4 3\"/>",
                top - 6.0,
                height - 14.0
            );
            let label = format!("{} {}", number(reference), self.unit);
            text(&mut svg, x, height - 2.0, "middle", &label);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }
}

impl Lines {
    /// The picture; `None` if there is nothing to show.
    pub(crate) fn svg(&self) -> Option<String> {
        const HEIGHT: f64 = 380.0;
        const LEFT: f64 = 60.0;
        const RIGHT: f64 = 590.0;
        const TOP: f64 = 44.0;
        const BOTTOM: f64 = 340.0;
        let most = self.series.iter().flat_map(|one| &one.points).map(|(_, y)| y.most).fold(0.0, f64::max);
        let (first, last) = (self.x.first()?.0, self.x.last()?.0);
        if most <= 0.0 {
            return None;
        }
        let place_x = |x: f64| {
            let share = if first == last { 0.5 } else { (x / first).ln() / (last / first).ln() };
            LEFT + share * (RIGHT - LEFT)
        };
        let place_y = |y: f64| BOTTOM - y / most * (BOTTOM - TOP);
        let mut svg = head(&self.title, HEIGHT);
        for quarter in 0..=4 {
            let value = most * f64::from(quarter) / 4.0;
            let y = place_y(value);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>"
            );
            text(&mut svg, LEFT - 6.0, y + 4.0, "end", &number(value));
        }
        for (x, label) in &self.x {
            text(&mut svg, place_x(*x), BOTTOM + 20.0, "middle", label);
        }
        for (place, series) in self.series.iter().enumerate() {
            let points: Vec<String> = series
                .points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", place_x(*x), place_y(y.median)))
                .collect();
            let colour = colour(place);
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                points.join(" ")
            );
            for (x, y) in &series.points {
                let x = place_x(*x);
                let _ = writeln!(
                    svg,
                    "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>\
                     <circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>",
                    place_y(y.least),
                    place_y(y.most),
                    place_y(y.median)
                );
            }
            let y = TOP + 10.0 + 20.0 * place as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>",
                RIGHT + 16.0,
                y - 9.0
            );
            text(&mut svg, RIGHT + 32.0, y, "start", &series.label);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }
}

fn head(title: &str, height: f64) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let _ = writeln!(
        svg,
        "<text x=\"12\" y=\"22\" font-size=\"14\" font-weight=\"bold\">{}</text>",
        escaped(title)
    );
    svg
}

fn legend(svg: &mut String, names: &[String]) {
    let mut x = LABELS;
    for (place, name) in names.iter().enumerate() {
        let _ =
            writeln!(svg, "<rect x=\"{x}\" y=\"36\" width=\"10\" height=\"10\" fill=\"{}\"/>", colour(place));
        text(svg, x + 15.0, 45.0, "start", name);
        x += 40.0 + 7.0 * name.chars().count() as f64;
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(text));
}

fn colour(place: usize) -> &'static str {
    COLOURS.get(place % COLOURS.len()).copied().unwrap_or("#222")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every element that is opened is closed, in order, and no `<` or `&` stands alone.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("a tag that ends");
            let name = tag.split([' ', '/']).find(|word| !word.is_empty()).expect("a name");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if tag.starts_with('/') {
                assert_eq!(open.pop().as_deref(), Some(name), "{svg}");
            } else if !tag.ends_with('/') {
                open.push(name.to_owned());
            }
            assert!(!text.contains('&') || text.contains("&amp;") || text.contains("&lt;"), "{text}");
        }
        assert!(open.is_empty(), "{open:?}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn bars_are_well_formed_whatever_the_values() {
        let row = |values: Vec<Option<f64>>| Row { label: "a < b & c".to_owned(), values };
        for is_logarithmic in [false, true] {
            let bars = Bars {
                title: "<title>".to_owned(),
                legend: vec!["one".to_owned(), "two".to_owned()],
                rows: vec![row(vec![Some(1.0), None]), row(vec![Some(0.0), Some(5000.0)])],
                is_logarithmic,
                reference: Some(1.0),
                unit: "×",
            };
            assert_well_formed(&bars.svg().unwrap());
        }
    }

    #[test]
    fn lines_are_well_formed_with_one_size_and_with_several() {
        let spread = Spread::of([1.0, 2.0]).unwrap();
        for x in [vec![(10.0, "10".to_owned())], vec![(10.0, "10".to_owned()), (1e6, "1,000,000".to_owned())]]
        {
            let points = x.iter().map(|(x, _)| (*x, spread)).collect();
            let series = vec![Series { label: "list".to_owned(), points }];
            assert_well_formed(&Lines { title: "t".to_owned(), series, x }.svg().unwrap());
        }
    }

    #[test]
    fn nothing_is_no_picture() {
        let bars = Bars {
            title: String::new(),
            legend: vec![String::new()],
            rows: Vec::new(),
            is_logarithmic: false,
            reference: None,
            unit: "",
        };
        assert!(bars.svg().is_none());
    }
}
