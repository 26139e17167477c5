//! A traceback as HTML: frames of libraries are folded, those of the application are open.

use super::escaped;

/// What a page shows of a traceback.
pub(super) struct Shown {
    /// The exception, in one line.
    pub(super) headline: String,
    /// The whole traceback, as HTML.
    pub(super) body: String,
}

struct Frame<'t> {
    file: &'t str,
    /// What follows the file: the line and the function.
    place: &'t str,
    code: Vec<&'t str>,
}

impl Frame<'_> {
    /// Whether its code was installed, and not written for this site.
    fn is_of_a_library(&self) -> bool {
        ["/site-packages/", "/dist-packages/", "/lib/python3", "/lib64/python3"]
            .iter()
            .any(|part| self.file.contains(part))
            || self.file.starts_with('<')
    }

    fn html(&self) -> String {
        let (directory, name) = match self.file.rfind('/') {
            Some(at) => self.file.split_at(at + 1),
            None => ("", self.file),
        };
        let code = if self.code.is_empty() {
            String::new()
        } else {
            format!("<pre>{}</pre>", escaped(&self.code.join("\n")))
        };
        format!(
            "<div class=frame><p><span class=directory>{}</span><b>{}</b> <span class=place>{}</span></p>{code}</div>\n",
            escaped(directory),
            escaped(name),
            escaped(self.place)
        )
    }
}

/// Parses a text that `traceback.format_exception` made; any other stays a text.
pub(super) fn html(text: &str) -> Shown {
    let mut body = String::new();
    let mut frames: Vec<Frame<'_>> = Vec::new();
    let mut message: Vec<&str> = Vec::new();
    let mut headline = "";
    for line in text.lines() {
        if let Some((file, place)) = frame(line) {
            close_message(&mut body, &mut message);
            frames.push(Frame { file, place, code: Vec::new() });
        } else if let (Some(code), Some(frame), true) =
            (line.strip_prefix("    "), frames.last_mut(), message.is_empty())
        {
            frame.code.push(code);
        } else if line.starts_with("Traceback (most recent call last)") {
            close_message(&mut body, &mut message);
        } else {
            close_frames(&mut body, &mut frames);
            if is_joint(line) {
                close_message(&mut body, &mut message);
            } else if message.is_empty() && !line.is_empty() {
                headline = line;
            }
            message.push(line);
        }
    }
    close_frames(&mut body, &mut frames);
    close_message(&mut body, &mut message);
    let headline = headline.chars().take(300).collect();
    Shown { headline, body }
}

/// What Python writes between two exceptions.
fn is_joint(line: &str) -> bool {
    line.starts_with("During handling of the above exception")
        || line.starts_with("The above exception was the direct cause")
}

/// `  File "/srv/app.py", line 3, in application`
fn frame(line: &str) -> Option<(&str, &str)> {
    let (file, place) = line.strip_prefix("  File \"")?.split_once('"')?;
    Some((file, place.trim_start_matches(", ")))
}

fn close_frames(body: &mut String, frames: &mut Vec<Frame<'_>>) {
    let frames = std::mem::take(frames);
    for group in frames.chunk_by(|one, other| one.is_of_a_library() == other.is_of_a_library()) {
        let inside: String = group.iter().map(Frame::html).collect();
        if group[0].is_of_a_library() {
            let plural = if group.len() == 1 { "" } else { "s" };
            body.extend([format!(
                "<details><summary>{} frame{plural} of libraries</summary>\n{inside}</details>\n",
                group.len()
            )]);
        } else {
            body.extend([format!("<section class=own>\n{inside}</section>\n")]);
        }
    }
}

fn close_message(body: &mut String, message: &mut Vec<&str>) {
    let text = std::mem::take(message).join("\n");
    let text = text.trim_matches('\n');
    if text.is_empty() {
        return;
    }
    let class = if is_joint(text) { "joint" } else { "exception" };
    body.extend([format!("<pre class={class}>{}</pre>\n", escaped(text))]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Traceback (most recent call last):\n  File \"/usr/lib/python3.11/json/decoder.py\", line 3, in x\n    raise A\nKeyError: 'a'\n\n\
                        During handling of the above exception, another exception occurred:\n\n\
                        Traceback (most recent call last):\n  File \"/srv/site/app.py\", line 7, in application\n    return {}[x]\n           ~~^^^\n\
                        ValueError: two\nlines of it\n";

    #[test]
    fn frames_of_the_application_are_open_and_the_last_exception_is_the_headline() {
        let shown = html(TEXT);
        assert_eq!(shown.headline, "ValueError: two");
        let body = shown.body;
        assert_eq!(body.matches("<details>").count(), 1, "{body}");
        assert!(
            body.contains(
                "<section class=own>\n<div class=frame><p><span class=directory>/srv/site/"
            )
        );
        assert!(body.contains("return {}[x]\n       ~~^^^</pre>"), "{body}");
        assert!(body.contains("<pre class=exception>ValueError: two\nlines of it</pre>"), "{body}");
        assert!(body.contains("<pre class=joint>During handling"), "{body}");
    }

    #[test]
    fn a_text_that_is_no_traceback_stays_one() {
        let shown = html("the application returned None\n");
        assert_eq!(shown.headline, "the application returned None");
        assert!(shown.body.contains("<pre class=exception>the application returned None</pre>"));
        assert_eq!(html("").headline, "");
    }
}
