//! For the name of a missing module: the package to install, or the module that has replaced it.

use std::path::Path;

use super::finding::word;

/// Packages that have another name than the module.
const NAMES: [(&str, &str); 24] = [
    ("Crypto", "pycryptodome"),
    ("MySQLdb", "mysqlclient"),
    ("PIL", "Pillow"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("corsheaders", "django-cors-headers"),
    ("crispy_forms", "django-crispy-forms"),
    ("cv2", "opencv-python-headless"),
    ("dateutil", "python-dateutil"),
    ("debug_toolbar", "django-debug-toolbar"),
    ("django_filters", "django-filter"),
    ("dotenv", "python-dotenv"),
    ("environ", "django-environ"),
    ("flask_sqlalchemy", "Flask-SQLAlchemy"),
    ("git", "GitPython"),
    ("jose", "python-jose"),
    ("jwt", "PyJWT"),
    ("magic", "python-magic"),
    ("psycopg2", "psycopg2-binary"),
    ("rest_framework", "djangorestframework"),
    ("serial", "pyserial"),
    ("sklearn", "scikit-learn"),
    ("yaml", "PyYAML"),
    ("zmq", "pyzmq"),
];

/// Modules of Python 2, and what has replaced them.
const OF_PYTHON_2: [(&str, &str); 12] = [
    ("ConfigParser", "configparser"),
    ("Cookie", "http.cookies"),
    ("HTMLParser", "html.parser"),
    ("Queue", "queue"),
    ("StringIO", "io"),
    ("cPickle", "pickle"),
    ("cStringIO", "io"),
    ("cookielib", "http.cookiejar"),
    ("httplib", "http.client"),
    ("urllib2", "urllib.request"),
    ("urlparse", "urllib.parse"),
    ("xmlrpclib", "xmlrpc.client"),
];

/// The package that contains a module.
pub(super) fn package_of(module: &str) -> &str {
    let top = module.split('.').next().unwrap_or(module);
    look_up(&NAMES, top).unwrap_or(top)
}

/// The module of Python 3 that has replaced one of Python 2.
pub(super) fn successor(module: &str) -> Option<&'static str> {
    look_up(&OF_PYTHON_2, module)
}

fn look_up<'t>(table: &[(&str, &'t str)], name: &str) -> Option<&'t str> {
    table.iter().find(|(known, _)| *known == name).map(|(_, other)| *other)
}

/// Why a module cannot be used although it is installed, by the text of the exception: a file of the application hides
/// it, or a system library is missing. Returns what to say, and what to do.
pub(super) fn around(text: &str, directory: &Path) -> Option<(String, Option<String>)> {
    if text.contains("cannot open shared object file") {
        let library = text.split(':').next().unwrap_or_default();
        let hint = format!("the system library {library} is missing");
        return Some((hint, Some(format!("apt-file search {}", word(library)))));
    }
    let name = text.split("; '").nth(1)?.strip_suffix("' is not a package")?;
    let hiding = directory.join(format!("{name}.py"));
    let other = hiding.with_file_name(format!("my_{name}.py"));
    hiding.is_file().then(|| {
        let hint = format!("{} hides the module {name} that is imported", hiding.display());
        (hint, Some(format!("mv {} {}", word(&hiding), word(other))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_installed_by_its_package() {
        assert_eq!(package_of("yaml.loader"), "PyYAML");
        assert_eq!(package_of("flask"), "flask");
        assert_eq!(successor("urllib2"), Some("urllib.request"));
        assert_eq!(successor("json"), None);
    }
}
