//! Real frameworks: a greeting under the mount, and an upload in both forms (B4). Django's session is in `django.rs`.

use crate::harness::http::{Body, Request};
use crate::harness::table::{Case, EVERYWHERE};

const ABC_DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A form with a file `a.txt` that holds `abc`.
const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n\
                    abc\r\n--b--\r\n";

pub(crate) fn cases() -> Vec<Case> {
    let sites = [
        ("Bottle", "bottle_site.py"),
        ("Pyramid", "pyramid_site.py"),
        ("Falcon", "falcon_site.py"),
        ("CherryPy", "cherrypy_site.py"),
        ("FastAPI", "fastapi_site.py"),
    ];
    let mut cases: Vec<Case> = sites
        .iter()
        .flat_map(|(name, fixture)| [greeting(name, fixture), upload(name, fixture)])
        .collect();
    cases.extend(flask());
    cases.extend(django());
    cases
}

/// The pages of Django that need no session; `django.rs` has the session.
fn django() -> Vec<Case> {
    let site = |sentence| {
        Case::import("framework", sentence, "mysite.wsgi:application")
            .variable("CGI2WSGI_CHDIR", "{fixtures}/django_site")
            .variable("DJANGO_DB", "{own}/db.sqlite3")
    };
    vec![
        site("Django's reverse gives public URLs under the mount").get("/login/").expect(
            |answer| {
                answer.status(200)?.contains("href=\"/case/framework-")?;
                answer.contains("/static/guestbook/style.css\"").map(drop)
            },
        ),
        site("Django serves its static files through WhiteNoise")
            .get("/static/guestbook/style.css")
            .expect(|answer| {
                answer.status(200)?.exit_code(0)?;
                answer.header("Content-Type", "text/css; charset=\"utf-8\"").map(drop)
            }),
        site("Django reads a chunked upload")
            .request(
                Request::new("POST", "/api/digest")
                    .header("Content-Type", "application/octet-stream")
                    .body(Body::Chunked(vec![b"ab".to_vec(), b"c".to_vec()])),
            )
            .expect(|answer| answer.status(200)?.contains(ABC_DIGEST).map(drop)),
        site("Django finds a file in a form")
            .request(
                Request::post("/api/digest", FORM)
                    .header("Content-Type", "multipart/form-data; boundary=b"),
            )
            .expect(|answer| answer.status(200)?.contains(ABC_DIGEST).map(drop)),
        site("Django's own 404 page goes through")
            .get("/nowhere")
            .expect(|answer| answer.status(404)?.exit_code(0)?.contains("Nothing here.").map(drop)),
    ]
}

fn site(fixture: &str, sentence: &'static str) -> Case {
    let case = Case::new("framework", sentence, fixture);
    match fixture {
        // a2wsgi runs an event loop in its own thread.
        "fastapi_site.py" => case.goes_cold("has started 1 thread(s) while it was imported"),
        _ => case,
    }
}

fn greeting(name: &str, fixture: &str) -> Case {
    site(fixture, "greets")
        .named(format!("{name} answers with the name in the path"))
        .get("/hello/Ann")
        .expect(|answer| answer.status(200)?.exit_code(0)?.body("Hello, Ann!\n").map(drop))
}

fn upload(name: &str, fixture: &str) -> Case {
    site(fixture, "reads an upload")
        .named(format!("{name} reads a chunked upload"))
        .request(
            Request::new("POST", "/upload")
                .header("Content-Type", "application/octet-stream")
                .body(Body::Chunked(vec![b"ab".to_vec(), b"c".to_vec()])),
        )
        .expect(|answer| answer.status(200)?.exit_code(0)?.contains(ABC_DIGEST).map(drop))
}

fn flask() -> Vec<Case> {
    let site = |sentence| {
        Case::new("framework", sentence, "flask_site/app.py")
            .variable("FLASK_SECRET_KEY", "of the tests")
    };
    let form = |body| {
        Request::new("POST", "/upload")
            .header("Content-Type", "multipart/form-data; boundary=b")
            .body(body)
    };
    vec![
        site("Flask's url_for gives public URLs under the mount").get("/").expect(|answer| {
            answer
                .status(200)?
                .contains("=\"/case/framework-")?
                .contains("/static/style.css")
                .map(drop)
        }),
        site("Flask serves its static files").get("/static/style.css").on(EVERYWHERE).expect(
            |answer| {
                answer.status(200)?.header("Content-Type", "text/css; charset=utf-8").map(drop)
            },
        ),
        site("Flask finds a file in a form")
            .request(form(Body::Whole(FORM.into())))
            .expect(|answer| answer.status(200)?.contains(ABC_DIGEST).map(drop)),
        site("Flask finds a file in a chunked form")
            .request(form(Body::Chunked(vec![FORM.into()])))
            .expect(|answer| answer.status(200)?.contains(ABC_DIGEST).map(drop)),
        site("Flask's own 404 page goes through")
            .get("/nowhere")
            .expect(|answer| answer.status(404)?.exit_code(0)?.contains("Nothing here.").map(drop)),
    ]
}
