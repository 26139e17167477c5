//! `-w FORMAT`: what curl writes after a request, without the variables that need a network.

use anyhow::{Result, bail};

use crate::did_you_mean;

/// All variables.
const NAMES: [&str; 12] = [
    "content_type",
    "exitcode",
    "http_code",
    "method",
    "num_redirects",
    "redirect_url",
    "response_code",
    "size_download",
    "size_header",
    "time_total",
    "url",
    "url_effective",
];

/// A parsed format.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Format(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(&'static str),
}

impl Format {
    /// Parses curl's format; variables of the network are errors.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let after = &rest[character.len_utf8()..];
            let escaped = |after: &str| match after.chars().next() {
                Some('n') => Some('\n'),
                Some('r') => Some('\r'),
                Some('t') => Some('\t'),
                _ => None,
            };
            match character {
                '\\' if escaped(after).is_some() => {
                    literal.extend(escaped(after));
                    rest = &after[1..];
                }
                '%' if after.starts_with('%') => {
                    literal.push('%');
                    rest = &after[1..];
                }
                '%' if after.starts_with('{') => {
                    let Some((name, behind)) = after[1..].split_once('}') else {
                        bail!("-w {text:?}: a variable has no end: write %{{http_code}}");
                    };
                    let Some(known) = NAMES.iter().find(|known| **known == name) else {
                        let meant = did_you_mean::question(name, NAMES);
                        bail!(
                            "-w: there is no %{{{name}}} without a network{meant}; there are {}",
                            NAMES.join(", ")
                        );
                    };
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    pieces.push(Piece::Variable(known));
                    rest = behind;
                }
                character => {
                    literal.push(character);
                    rest = after;
                }
            }
        }
        pieces.push(Piece::Text(literal));
        Ok(Self(pieces))
    }

    /// The text, with each variable's value from `value`.
    pub(super) fn written(&self, value: impl Fn(&str) -> String) -> String {
        let texts = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(name) => value(name),
        });
        texts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_curls() {
        let written =
            |text: &str| Format::parse(text).expect("a format").written(|name| format!("<{name}>"));
        assert_eq!(written("%{http_code}\\n"), "<http_code>\n");
        assert_eq!(written("100%% %x \\t\\\\ü%{url}"), "100% %x \t\\\\ü<url>");
        assert_eq!(written(""), "");
        let wrong = |text: &str| Format::parse(text).expect_err("it is wrong").to_string();
        assert!(
            wrong("%{http_cod}").contains("did you mean http_code?"),
            "{}",
            wrong("%{http_cod}")
        );
        assert!(wrong("%{time_connect}").contains("without a network"));
        assert!(wrong("%{").contains("has no end"));
    }
}
