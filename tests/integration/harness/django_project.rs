//! The files of a small Django project: name and text.

pub(crate) const SETTINGS: (&str, &str) = ("mysite/settings.py", "SECRET_KEY = 'x' * 60\n");
pub(crate) const PACKAGE: (&str, &str) = ("mysite/__init__.py", "");

/// The text of `mysite/wsgi.py` that names these settings.
macro_rules! wsgi {
    ($settings:literal) => {
        concat!(
            "import os\nfrom django.core.wsgi import get_wsgi_application\n\
             os.environ.setdefault('DJANGO_SETTINGS_MODULE', '",
            $settings,
            "')\napplication = get_wsgi_application()\n"
        )
    };
}

pub(crate) use wsgi;
