//! The picture: what people use today, cgi2wsgi, and the floor, in few bars, readable on light and on dark pages.

use std::fmt::Write as _;

use crate::figures::time;
use crate::sampling::Series;

/// Whose time a bar shows, which gives it its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Today,
    Ours,
    Floor,
}

struct Panel {
    title: &'static str,
    /// Label, name of the series, and whose it is. Series that were not measured are left out.
    bars: &'static [(&'static str, &'static str, Kind)],
    /// The series that our bars are compared with.
    peer: &'static str,
}

const PANELS: &[Panel] = &[
    Panel {
        title: "Hello, world!",
        bars: &[
            ("CGIHandler", "CGIHandler hello", Kind::Today),
            ("php-cgi", "php-cgi hello", Kind::Today),
            ("cgi2wsgi", "cold hello", Kind::Ours),
            ("cgi2wsgi --warm", "warm hello", Kind::Ours),
            ("C program", "C program", Kind::Floor),
        ],
        peer: "CGIHandler hello",
    },
    Panel {
        title: "A page of Django",
        bars: &[
            ("CGIHandler", "CGIHandler Django, a small view", Kind::Today),
            ("cgi2wsgi", "cold Django, a small view", Kind::Ours),
            ("cgi2wsgi --warm", "warm Django", Kind::Ours),
        ],
        peer: "CGIHandler Django, a small view",
    },
];

const LEGEND: &[(&str, Kind)] = &[
    ("what you use today", Kind::Today),
    ("cgi2wsgi, and how many times less than CGIHandler", Kind::Ours),
    ("the floor: no interpreter at all", Kind::Floor),
];

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 28.0;
const COLUMN: f64 = (WIDTH - 3.0 * MARGIN) / 2.0;
const LABEL: f64 = 122.0;
/// Behind the longest bar, for its number.
const NUMBER: f64 = 72.0;
const ROW: f64 = 30.0;
const BAR: f64 = 20.0;
const TITLE: f64 = 36.0;
const TOP: f64 = 88.0;

const STYLE: &str = "
  .page { fill: #ffffff; stroke: #d0d7de; }
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif; fill: #1f2328; }
  .head { font-size: 18px; font-weight: 600; }
  .title { font-size: 14px; font-weight: 600; }
  .quiet { fill: #59636e; }
  .number { font-variant-numeric: tabular-nums; }
  .axis { stroke: #d0d7de; }
  .ours { fill: #1f6feb; } .today { fill: #8c959f; } .floor { fill: #d0b27a; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d; }
    text { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .axis { stroke: #30363d; }
    .ours { fill: #4493f8; } .today { fill: #6e7681; } .floor { fill: #a5864a; }
  }
";

/// The picture of all series, as SVG.
pub(crate) fn svg(series: &[&Series], caption: &str) -> String {
    let mut body = String::new();
    let mut bottom = TOP;
    let mut left = MARGIN;
    for panel in PANELS {
        bottom = panel.draw(&mut body, series, left).max(bottom);
        left += COLUMN + MARGIN;
    }
    let height = bottom + 44.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"title\">\n\
         <title id=\"title\">What one request takes: cgi2wsgi beside what is used today</title>\n<style>{STYLE}</style>\n"
    );
    let _ = writeln!(
        svg,
        "<rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>",
        WIDTH - 1.0,
        height - 1.0
    );
    svg += &text(MARGIN, 38.0, "head", "start", "One request, from start to end: less is better");
    let mut x = MARGIN;
    for (name, kind) in LEGEND {
        let _ = writeln!(
            svg,
            "<rect class=\"{}\" x=\"{x}\" y=\"54\" width=\"12\" height=\"12\" rx=\"2\"/>",
            kind.class()
        );
        svg += &text(x + 18.0, 64.5, "quiet", "start", name);
        #[expect(clippy::cast_precision_loss, reason = "a dozen letters")]
        let width = name.len() as f64 * 7.0;
        x += width + 40.0;
    }
    svg += &body;
    svg += &text(WIDTH - MARGIN, height - 14.0, "quiet", "end", caption);
    svg + "</svg>\n"
}

impl Panel {
    /// Draws the panel; returns its bottom.
    fn draw(&self, svg: &mut String, series: &[&Series], x: f64) -> f64 {
        let find = |name: &str| {
            series.iter().find(|series| series.name == name).map(|series| series.median())
        };
        let bars: Vec<_> = self
            .bars
            .iter()
            .filter_map(|&(label, name, kind)| Some((label, find(name)?, kind)))
            .collect();
        let longest = bars.iter().map(|bar| bar.1).fold(0.0, f64::max);
        let scale = (COLUMN - LABEL - NUMBER) / longest;
        *svg += &text(x, TOP + 18.0, "title", "start", self.title);
        let mut row = TOP + TITLE;
        let start = x + LABEL;
        for (label, seconds, kind) in bars {
            let middle = row + ROW / 2.0;
            *svg += &text(start - 10.0, middle + 4.5, "", "end", label);
            // At least two pixels, so that the bar is visible.
            let width = (seconds * scale).max(2.0);
            let _ = writeln!(
                svg,
                "<rect class=\"{}\" x=\"{start:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>",
                kind.class(),
                middle - BAR / 2.0
            );
            let peer = find(self.peer).filter(|_| kind == Kind::Ours);
            let share = peer.map(|peer| share(seconds / peer)).unwrap_or_default();
            let number = format!("{}{share}", time(seconds));
            *svg += &text(start + width + 7.0, middle + 4.5, "number", "start", &number);
            row += ROW;
        }
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{start:.1}\" x2=\"{start:.1}\" y1=\"{:.1}\" y2=\"{row:.1}\"/>",
            TOP + TITLE
        );
        row
    }
}

/// How many times less than the peer.
fn share(ratio: f64) -> String {
    match 1.0 / ratio {
        times if times >= 10.0 => format!(": {times:.0} times less"),
        times => format!(": {times:.1} times less"),
    }
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::Ours => "ours",
            Self::Floor => "floor",
        }
    }
}

fn text(x: f64, y: f64, class: &str, anchor: &str, text: &str) -> String {
    let text = escaped(text);
    format!(
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n"
    )
}

/// Text, escaped for XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
