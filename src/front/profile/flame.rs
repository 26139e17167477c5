//! The flame graph of a profile: phases at the bottom, imports on those that caused them.

use std::time::Duration;

use anyhow::{Context, Result};
use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap};
use inferno::flamegraph::{self, Options, TextTruncateDirection};

use super::table::{Title, shown};
use super::{Import, Run};

/// An SVG image that can be searched and zoomed in a browser.
pub(super) fn svg(run: &Run, title: &Title<'_>) -> Result<Vec<u8>> {
    let mut options = Options::default();
    let total = run.total().as_secs_f64() * 1e3;
    options.title = format!("GET {} of {}: {total:.1} ms", title.url, title.application);
    options.text_truncate_direction = TextTruncateDirection::Right;
    options.subtitle = Some("A cold request. Click to zoom, Ctrl-F to search".to_owned());
    "µs".clone_into(&mut options.count_name);
    "Import:".clone_into(&mut options.name_type);
    "system-ui, sans-serif".clone_into(&mut options.font_type);
    options.font_size = 13;
    options.frame_height = 20;
    options.min_width = 0.05;
    options.flame_chart = true;
    options.image_width = None;
    let mut colours = colours(run);
    options.palette_map = Some(&mut colours);
    options.bgcolors = Some(BackgroundColor::Flat((0xf6, 0xf7, 0xf9).into()));
    let lines = folded(run);
    let mut svg = Vec::new();
    // A flame chart is drawn in the order of its lines, which are read from the last one on.
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)
        .context("the flame graph cannot be drawn")?;
    Ok(svg)
}

/// Each package has its own colour, so that it is seen where it is imported. The phases are grey.
fn colours(run: &Run) -> PaletteMap {
    let mut colours = PaletteMap::default();
    let phases = colour(210.0, 0.10, 0.80);
    // The lowest frame, which is the whole request, has no name in the map.
    colours.insert("", phases);
    for (phase, _) in &run.phases {
        colours.insert(shown(phase).replace(';', ":"), phases);
    }
    for (_, imports) in &run.imports {
        for import in imports {
            import.each(&mut |import| {
                let package = import.name.split('.').next().unwrap_or_default();
                let sum =
                    package.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
                colours.insert(named(import), colour(f64::from(sum % 360), 0.60, 0.76));
            });
        }
    }
    colours
}

/// A colour by hue in degrees, saturation and lightness.
fn colour(hue: f64, saturation: f64, lightness: f64) -> Color {
    let strength = saturation * lightness.min(1.0 - lightness);
    let part = |offset: f64| {
        let at = (offset + hue / 30.0) % 12.0;
        let share = lightness - strength * (at - 3.0).min(9.0 - at).clamp(-1.0, 1.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let byte = (share * 255.0).round() as u8;
        byte
    };
    Color { r: part(0.0), g: part(8.0), b: part(4.0) }
}

/// A module as it stands in a stack.
fn named(import: &Import) -> String {
    import.name.replace([';', ' '], ":")
}

/// One line for each stack, with its own time in microseconds, the first stack last.
fn folded(run: &Run) -> Vec<String> {
    let mut lines = Vec::new();
    for (phase, took) in &run.phases {
        let name = shown(phase).replace(';', ":");
        let imports = run.imported_in(phase);
        for import in imports {
            fold(import, &name, &mut lines);
        }
        let inside: Duration = imports.iter().map(|import| import.all).sum();
        push(&name, took.saturating_sub(inside), &mut lines);
    }
    lines.reverse();
    lines
}

fn fold(import: &Import, stack: &str, lines: &mut Vec<String>) {
    let stack = format!("{stack};{}", named(import));
    for inside in &import.inside {
        fold(inside, &stack, lines);
    }
    push(&stack, import.own, lines);
}

fn push(stack: &str, took: Duration, lines: &mut Vec<String>) {
    if !took.is_zero() {
        lines.push(format!("{stack} {}", took.as_micros()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_the_ones_of_css() {
        let of = |hue| {
            let Color { r, g, b } = colour(hue, 1.0, 0.5);
            [r, g, b]
        };
        assert_eq!((of(0.0), of(120.0), of(240.0)), ([255, 0, 0], [0, 255, 0], [0, 0, 255]));
    }

    #[test]
    fn stacks_have_their_own_time_and_an_image_has_their_names() {
        let us = Duration::from_micros;
        let inside = Import { name: "b<>".into(), own: us(9_000), all: us(9_000), inside: vec![] };
        let import =
            Import { name: "a".into(), own: us(1_000), all: us(10_000), inside: vec![inside] };
        let run = Run {
            phases: vec![("import".into(), us(15_000)), ("call".into(), us(30_000))],
            imports: vec![("import".into(), vec![import])],
            status: 200,
        };
        let expected = [
            "call, to the first byte 30000",
            "import of the application 5000",
            "import of the application;a 1000",
            "import of the application;a;b<> 9000",
        ];
        assert_eq!(folded(&run), expected);
        let title = Title { url: "/", application: "/srv/<b>.py", runs: 3, lines: 1 };
        let svg = String::from_utf8(svg(&run, &title).expect("an image")).expect("UTF-8");
        assert!(svg.contains("<svg") && svg.contains("b&lt;&gt;") && !svg.contains("<b>"));
        let grey = svg.matches("fill=\"rgb(199,204,209)\"").count();
        assert_eq!(grey, 3, "the whole, and two phases");
    }
}
