//! Applications without a callable, or with a wrong one.

use crate::check::{HELLO, SITE, Site};

pub(super) const SITES: &[Site] = &[
    Site {
        name: "for an application without a callable of a usual name its own callables are named",
        files: &[("app.py", "def web_app(environ, start_response):\n    pass\n")],
        about: "✗ callable",
        seen: &["neither application nor app; it has web_app"],
        cure: "cgi2wsgi check {place}/app.py:web_app",
        ..SITE
    },
    Site {
        name: "for a misspelt callable the existing one is suggested",
        files: &[("app.py", HELLO)],
        arguments: &["app.py:aplication"],
        about: "✗ callable",
        seen: &["has no \"aplication\""],
        cure: "cgi2wsgi check {place}/app.py:application",
        ..SITE
    },
    Site {
        name: "for an object that cannot be called its type is named",
        files: &[("app.py", "app = 5\n\n\ndef main(environ, start_response):\n    pass\n")],
        about: "✗ callable",
        seen: &["app is an int and cannot be called"],
        cure: "cgi2wsgi check {place}/app.py:main",
        ..SITE
    },
    Site {
        name: "M4: an async function is ASGI",
        files: &[("app.py", "async def app(scope, receive, send):\n    pass\n")],
        about: "✗ callable",
        seen: &["speaks ASGI", "a2wsgi.ASGIMiddleware(app)"],
        cure: "pip install a2wsgi",
        ..SITE
    },
    Site {
        name: "M4: an object whose call is async is ASGI, and a wsgi.py beside it is named",
        files: &[
            (
                "asgi.py",
                "class Handler:\n    async def __call__(self, scope, receive, send):\n        pass\n\n\napp = Handler()\n",
            ),
            ("wsgi.py", HELLO),
        ],
        arguments: &["asgi.py"],
        about: "✗ callable",
        seen: &["Handler and speaks ASGI"],
        cure: "cgi2wsgi check {place}/wsgi.py",
        ..SITE
    },
    Site {
        name: "a factory without parentheses",
        files: &[("app.py", "def create_app(config=None):\n    pass\n")],
        arguments: &["app.py:create_app"],
        about: "✗ callable",
        seen: &["it is a factory"],
        cure: "cgi2wsgi check '{place}/app.py:create_app()'",
        ..SITE
    },
    Site {
        name: "a factory that raises is reported with its frames",
        files: &[("app.py", "def create_app():\n    raise LookupError('no config')\n")],
        arguments: &["app.py:create_app()"],
        about: "✗ callable",
        seen: &["create_app() raises LookupError: no config"],
        cure: "vi +2 {place}/app.py",
        ..SITE
    },
    Site {
        name: "a callable with one argument",
        files: &[("app.py", "def app(request):\n    pass\n")],
        about: "✗ callable",
        seen: &["takes 1 (request)"],
        cure: "def app(environ, start_response):",
        ..SITE
    },
];
