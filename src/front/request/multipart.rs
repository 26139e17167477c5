//! `-F`: a `multipart/form-data` body (RFC 7578), in a temporary file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};

use super::body_file::open;
use crate::cgi::path;

/// The body that the fields make, positioned at its end, and its content type.
pub(super) fn form(fields: &[OsString]) -> Result<(File, String)> {
    let boundary = boundary()?;
    let mut body = tempfile::tempfile().context("no temporary file for the form")?;
    for field in fields {
        write!(body, "--{boundary}\r\n")?;
        let field = Field::parse(field.as_bytes())
            .with_context(|| format!("-F {field:?} has no name: write NAME=VALUE or NAME=@FILE"))?;
        field.write(&mut body)?;
        write!(body, "\r\n")?;
    }
    write!(body, "--{boundary}--\r\n")?;
    Ok((body, format!("multipart/form-data; boundary={boundary}")))
}

/// 96 random bits, which no content contains by chance.
fn boundary() -> Result<String> {
    let mut bits = [0; 12];
    io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bits)?;
    Ok(bits.iter().fold("cgi2wsgi-".into(), |text, byte| format!("{text}{byte:02x}")))
}

#[derive(Debug, PartialEq, Eq)]
struct Field<'f> {
    name: &'f [u8],
    /// What follows `=`, or `=@`.
    content: &'f [u8],
    is_file: bool,
    content_type: Option<&'f [u8]>,
    file_name: Option<&'f [u8]>,
}

impl<'f> Field<'f> {
    fn parse(text: &'f [u8]) -> Option<Self> {
        let equals = text.iter().position(|byte| *byte == b'=')?;
        let (name, content) = (&text[..equals], &text[equals + 1..]);
        let mut field = Self { name, content, is_file: false, content_type: None, file_name: None };
        if let Some(path) = content.strip_prefix(b"@") {
            field.is_file = true;
            field.content = path;
            while let Some(at) = field.content.iter().rposition(|byte| *byte == b';') {
                let option = &field.content[at + 1..];
                if let Some(value) = option.strip_prefix(b"type=") {
                    field.content_type = Some(value);
                } else if let Some(value) = option.strip_prefix(b"filename=") {
                    field.file_name = Some(value);
                } else {
                    break;
                }
                field.content = &field.content[..at];
            }
        }
        (!name.is_empty()).then_some(field)
    }

    fn write(&self, body: &mut File) -> Result<()> {
        body.write_all(b"Content-Disposition: form-data; name=\"")?;
        body.write_all(&escaped(self.name))?;
        body.write_all(b"\"")?;
        if !self.is_file {
            body.write_all(b"\r\n\r\n")?;
            return Ok(body.write_all(self.content)?);
        }
        let (mut file, _) = open(self.content)?;
        body.write_all(b"; filename=\"")?;
        body.write_all(&escaped(self.file_name.unwrap_or(path::last_segment(self.content))))?;
        body.write_all(b"\"\r\nContent-Type: ")?;
        body.write_all(self.content_type.unwrap_or(b"application/octet-stream"))?;
        body.write_all(b"\r\n\r\n")?;
        io::copy(&mut file, body)?;
        Ok(())
    }
}

/// As browsers escape names (HTML, multipart/form-data encoding algorithm).
fn escaped(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'"' => escaped.extend_from_slice(b"%22"),
            b'\r' => escaped.extend_from_slice(b"%0D"),
            b'\n' => escaped.extend_from_slice(b"%0A"),
            byte => escaped.push(*byte),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn a_form_has_its_fields_in_order() {
        let (mut body, content_type) =
            form(&["a=1;type=x".into(), "b\"=ü".into()]).expect("a form");
        let boundary = content_type.split_once("boundary=").expect("a boundary").1;
        let mut text = String::new();
        body.rewind().expect("a file");
        body.read_to_string(&mut text).expect("UTF-8");
        let expected = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1;type=x\r\n--B\r\n\
             Content-Disposition: form-data; name=\"b%22\"\r\n\r\nü\r\n--B--\r\n";
        assert_eq!(text.replace(boundary, "B"), expected);
    }

    #[test]
    fn a_file_may_have_a_type_and_another_name() {
        let field =
            Field::parse(b"f=@/tmp/x;y.txt;type=text/plain;filename=z.txt").expect("a field");
        assert_eq!(field.content, b"/tmp/x;y.txt");
        assert_eq!(field.content_type, Some(b"text/plain".as_slice()));
        assert_eq!(field.file_name, Some(b"z.txt".as_slice()));
        assert_eq!(Field::parse(b"novalue"), None);
        assert_eq!(Field::parse(b"=x"), None);
    }
}
