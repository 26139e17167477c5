//! The examples of the articles from which this project began: a form, and a JSON service.

use crate::harness::http::Request;
use crate::harness::table::Case;

pub(crate) fn cases() -> Vec<Case> {
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nAnn <3\r\n\
                     --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
                     Content-Type: text/plain\r\n\r\nfive\n\r\n--b--\r\n";
    vec![
        Case::valid("form", "a form is shown", "form").expect(|answer| {
            answer.status(200)?.header("Content-Type", "text/html; charset=utf-8")?;
            answer.contains("<form method=\"post\"").map(drop)
        }),
        Case::valid("form", "a urlencoded form is parsed", "form")
            .request(
                Request::post("", "name=Ann+%3C3&message=%C3%A9")
                    .header("Content-Type", "application/x-www-form-urlencoded"),
            )
            .expect(|answer| {
                answer.status(200)?.contains("<dt>name<dd>Ann &lt;3")?;
                answer.contains("<dt>message<dd>é").map(drop)
            }),
        Case::valid("form", "a multipart form with a file is parsed", "form")
            .request(
                Request::post("", multipart)
                    .header("Content-Type", "multipart/form-data; boundary=b"),
            )
            .expect(|answer| {
                answer.status(200)?.contains("<dt>name<dd>Ann &lt;3")?;
                answer.contains("<dt>file<dd>a.txt (5 bytes)").map(drop)
            }),
        Case::valid("JSON", "a JSON answer arrives whole", "json_api")
            .get("/hello?name=Ann")
            .expect(|answer| {
                answer.status(200)?.header("Content-Type", "application/json")?;
                answer.body(r#"{"message": "Hello, Ann!"}"#).map(drop)
            }),
        Case::valid("JSON", "a 404 from a service is exit status 0", "json_api")
            .get("/other")
            .expect(|answer| {
                answer.status(404)?.exit_code(0)?.body(r#"{"error": "no such resource"}"#).map(drop)
            }),
        Case::valid("JSON", "a 405 from a service keeps its Allow header", "json_api")
            .request(Request::post("/hello", "{}").header("Content-Type", "application/json"))
            .expect(|answer| answer.status(405)?.header("Allow", "GET, HEAD").map(drop)),
        Case::valid(
            "JSON",
            "a method other than those of RFC 9110 reaches the application",
            "json_api",
        )
        .request(Request::new("REPORT", "/hello"))
        .expect(|answer| answer.status(405).map(drop)),
    ]
}
