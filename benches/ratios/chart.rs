//! The picture: horizontal bars, one panel for each kind of request, readable on light and on dark pages.

use std::fmt::Write as _;

use crate::report::{escaped, fine, time};
use crate::sampling::Series;

/// Who a bar is of, which gives it its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ours,
    CgiHandler,
    Floor,
    Resident,
}

struct Panel {
    title: &'static str,
    /// Label, name of the series, and whose it is. Series that were not measured are left out.
    bars: &'static [(&'static str, &'static str, Kind)],
    /// Ours, and what its ratio is to.
    ratios: &'static [(&'static str, &'static str)],
}

const LEFT: [Panel; 3] = [
    Panel {
        title: "Hello, world!",
        bars: &[
            ("C program", "C program", Kind::Floor),
            ("python -c pass", "python -c pass", Kind::Floor),
            ("cgi2wsgi", "cold hello", Kind::Ours),
            ("… --warm", "warm hello", Kind::Ours),
            ("CGIHandler", "CGIHandler hello", Kind::CgiHandler),
            ("gunicorn", "gunicorn hello", Kind::Resident),
            ("mod_wsgi", "mod_wsgi hello", Kind::Resident),
        ],
        ratios: &[("cold hello", "CGIHandler hello"), ("warm hello", "CGIHandler hello")],
    },
    Panel {
        title: "Flask",
        bars: &[
            ("cgi2wsgi", "cold Flask", Kind::Ours),
            ("CGIHandler", "CGIHandler Flask", Kind::CgiHandler),
            ("gunicorn", "gunicorn Flask", Kind::Resident),
            ("mod_wsgi", "mod_wsgi Flask", Kind::Resident),
        ],
        ratios: &[("cold Flask", "CGIHandler Flask")],
    },
    Panel {
        title: "Django, a small view",
        bars: &[
            ("cgi2wsgi", "cold Django, a small view", Kind::Ours),
            ("… --warm", "warm Django", Kind::Ours),
            ("CGIHandler", "CGIHandler Django, a small view", Kind::CgiHandler),
        ],
        ratios: &[
            ("cold Django, a small view", "CGIHandler Django, a small view"),
            ("warm Django", "CGIHandler Django, a small view"),
        ],
    },
];

const RIGHT: [Panel; 2] = [
    Panel {
        title: "Django with its admin",
        bars: &[
            ("cgi2wsgi", "cold Django", Kind::Ours),
            ("CGIHandler", "CGIHandler Django", Kind::CgiHandler),
            ("gunicorn", "gunicorn Django", Kind::Resident),
            ("mod_wsgi", "mod_wsgi Django", Kind::Resident),
        ],
        ratios: &[("cold Django", "CGIHandler Django")],
    },
    Panel {
        title: "1 GiB",
        bars: &[
            ("file_wrapper", "cgi2wsgi file_wrapper", Kind::Ours),
            ("", "CGIHandler file_wrapper", Kind::CgiHandler),
            ("16 KiB chunks", "cgi2wsgi 16 KiB chunks", Kind::Ours),
            ("", "CGIHandler 16 KiB chunks", Kind::CgiHandler),
            ("upload", "cgi2wsgi upload", Kind::Ours),
            ("", "CGIHandler upload", Kind::CgiHandler),
            ("cat to cat", "cat to cat", Kind::Floor),
            ("splice, in C", "C program that splices", Kind::Floor),
        ],
        ratios: &[
            ("cgi2wsgi file_wrapper", "CGIHandler file_wrapper"),
            ("cgi2wsgi 16 KiB chunks", "CGIHandler 16 KiB chunks"),
            ("cgi2wsgi upload", "CGIHandler upload"),
        ],
    },
];

const LEGEND: [(&str, Kind); 4] = [
    ("cgi2wsgi", Kind::Ours),
    ("Python's CGIHandler", Kind::CgiHandler),
    ("no application in it", Kind::Floor),
    ("a resident server", Kind::Resident),
];

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 28.0;
const COLUMN: f64 = (WIDTH - 3.0 * MARGIN) / 2.0;
const LABEL: f64 = 104.0;
/// Behind the longest bar, for its number.
const NUMBER: f64 = 108.0;
const ROW: f64 = 24.0;
const BAR: f64 = 16.0;
const TITLE: f64 = 34.0;
const GAP: f64 = 18.0;
const TOP: f64 = 92.0;

const STYLE: &str = "
  .page { fill: #ffffff; stroke: #d0d7de; }
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif; fill: #1f2328; }
  .head { font-size: 18px; font-weight: 600; }
  .title { font-size: 14px; font-weight: 600; }
  .quiet { fill: #59636e; }
  .number { font-variant-numeric: tabular-nums; }
  .axis { stroke: #d0d7de; }
  .ours { fill: #1f6feb; } .cgihandler { fill: #8c959f; } .floor { fill: #d0b27a; } .resident { fill: #4da393; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d; }
    text { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .axis { stroke: #30363d; }
    .ours { fill: #4493f8; } .cgihandler { fill: #6e7681; } .floor { fill: #a5864a; } .resident { fill: #3a8577; }
  }
";

/// The picture of all series, as SVG.
pub(crate) fn svg(series: &[&Series], caption: &str) -> String {
    let mut body = String::new();
    let columns: [(f64, &[Panel]); 2] = [(MARGIN, &LEFT), (2.0 * MARGIN + COLUMN, &RIGHT)];
    let bottom = columns
        .map(|(x, panels)| panels.iter().fold(TOP, |y, panel| panel.draw(&mut body, series, x, y)));
    let height = bottom[0].max(bottom[1]) + 22.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"title\">\n\
         <title id=\"title\">Time of one request: cgi2wsgi beside its peers</title>\n<style>{STYLE}</style>\n"
    );
    let _ = writeln!(
        svg,
        "<rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>",
        WIDTH - 1.0,
        height - 1.0
    );
    svg += &text(MARGIN, 38.0, "head", "start", "Time of one request, less is better");
    let mut x = MARGIN;
    for (name, kind) in LEGEND {
        let _ = writeln!(
            svg,
            "<rect class=\"{}\" x=\"{x}\" y=\"54\" width=\"12\" height=\"12\" rx=\"2\"/>",
            kind.class()
        );
        svg += &text(x + 18.0, 64.5, "quiet", "start", name);
        #[expect(clippy::cast_precision_loss, reason = "a dozen letters")]
        let width = name.len() as f64 * 8.0;
        x += width + 34.0;
    }
    svg += &body;
    svg += &text(WIDTH - MARGIN, height - 14.0, "quiet", "end", caption);
    svg + "</svg>\n"
}

impl Panel {
    /// Draws the panel with its top at `y`; returns its bottom.
    fn draw(&self, svg: &mut String, series: &[&Series], x: f64, y: f64) -> f64 {
        let find = |name: &str| series.iter().find(|series| series.name == name);
        let bars: Vec<_> = self
            .bars
            .iter()
            .filter_map(|&(label, name, kind)| Some((label, name, find(name)?.median(), kind)))
            .collect();
        if bars.is_empty() {
            return y;
        }
        let longest = bars.iter().map(|bar| bar.2).fold(0.0, f64::max);
        let scale = (COLUMN - LABEL - NUMBER) / longest;
        *svg += &text(x, y + 20.0, "title", "start", self.title);
        let mut row = y + TITLE;
        let start = x + LABEL;
        for (label, name, seconds, kind) in bars {
            let middle = row + ROW / 2.0;
            *svg += &text(start - 10.0, middle + 4.5, "", "end", label);
            // Two pixels, so that something is there to see.
            let width = (seconds * scale).max(2.0);
            let _ = writeln!(
                svg,
                "<rect class=\"{}\" x=\"{start:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>",
                kind.class(),
                middle - BAR / 2.0
            );
            let peer = self.ratios.iter().find(|(ours, _)| *ours == name);
            let ratio = peer.and_then(|(_, peer)| Some(seconds / find(peer)?.median()));
            let ratio = ratio.map(|ratio| format!(" (×{})", fine(ratio))).unwrap_or_default();
            let number = format!("{}{ratio}", time(seconds));
            *svg += &text(start + width + 7.0, middle + 4.5, "number", "start", &number);
            row += ROW;
        }
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{start:.1}\" x2=\"{start:.1}\" y1=\"{:.1}\" y2=\"{row:.1}\"/>",
            y + TITLE
        );
        row + GAP
    }
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::CgiHandler => "cgihandler",
            Self::Floor => "floor",
            Self::Resident => "resident",
        }
    }
}

fn text(x: f64, y: f64, class: &str, anchor: &str, text: &str) -> String {
    let text = escaped(text);
    format!(
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n"
    )
}
