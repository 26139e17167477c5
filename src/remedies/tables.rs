//! Names that have changed.

/// Modules that only Python 2 has, and what they are called now.
const OF_PYTHON_2: [(&str, &str); 18] = [
    ("BaseHTTPServer", "http.server"),
    ("ConfigParser", "configparser"),
    ("Cookie", "http.cookies"),
    ("HTMLParser", "html.parser"),
    ("Queue", "queue"),
    ("SimpleHTTPServer", "http.server"),
    ("SocketServer", "socketserver"),
    ("StringIO", "io"),
    ("__builtin__", "builtins"),
    ("cPickle", "pickle"),
    ("cStringIO", "io"),
    ("commands", "subprocess"),
    ("cookielib", "http.cookiejar"),
    ("httplib", "http.client"),
    ("md5", "hashlib"),
    ("urllib2", "urllib.request"),
    ("urlparse", "urllib.parse"),
    ("xmlrpclib", "xmlrpc.client"),
];

/// Names that only Python 2 has built in.
pub(super) const NAMES_OF_PYTHON_2: [&str; 9] = [
    "basestring",
    "execfile",
    "file",
    "long",
    "raw_input",
    "reduce",
    "unichr",
    "unicode",
    "xrange",
];

/// What Python 3 says about the syntax of Python 2.
pub(super) const SYNTAX_OF_PYTHON_2: [&str; 4] = [
    "Missing parentheses in call to 'print'",
    "Missing parentheses in call to 'exec'",
    "multiple exception types must be parenthesized",
    "leading zeros in decimal integer literals",
];

/// Packages that have another name than the module that is imported. A module with a dot comes before its package.
const PACKAGES: [(&str, &str); 42] = [
    ("google.cloud.storage", "google-cloud-storage"),
    ("google.protobuf", "protobuf"),
    ("Crypto", "pycryptodome"),
    ("Levenshtein", "python-Levenshtein"),
    ("MySQLdb", "mysqlclient"),
    ("OpenSSL", "pyOpenSSL"),
    ("PIL", "Pillow"),
    ("allauth", "django-allauth"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("ckeditor", "django-ckeditor"),
    ("corsheaders", "django-cors-headers"),
    ("crispy_forms", "django-crispy-forms"),
    ("cv2", "opencv-python-headless"),
    ("dateutil", "python-dateutil"),
    ("debug_toolbar", "django-debug-toolbar"),
    ("decouple", "python-decouple"),
    ("django_filters", "django-filter"),
    ("docx", "python-docx"),
    ("dotenv", "python-dotenv"),
    ("environ", "django-environ"),
    ("fitz", "PyMuPDF"),
    ("git", "GitPython"),
    ("import_export", "django-import-export"),
    ("jose", "python-jose"),
    ("jwt", "PyJWT"),
    ("ldap", "python-ldap"),
    ("magic", "python-magic"),
    ("memcache", "python-memcached"),
    ("mptt", "django-mptt"),
    ("mysql", "mysql-connector-python"),
    ("pkg_resources", "setuptools"),
    ("pptx", "python-pptx"),
    ("psycopg2", "psycopg2-binary"),
    ("rest_framework", "djangorestframework"),
    ("serial", "pyserial"),
    ("skimage", "scikit-image"),
    ("sklearn", "scikit-learn"),
    ("storages", "django-storages"),
    ("taggit", "django-taggit"),
    ("yaml", "PyYAML"),
    ("zmq", "pyzmq"),
];

/// Modules that are written otherwise.
const OTHERWISE: [(&str, &str); 3] = [("jinja", "jinja2"), ("pil", "PIL"), ("Bs4", "bs4")];

/// The package that contains a module.
pub(super) fn package_of(module: &str) -> &str {
    let has = |known: &str| {
        module.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let found = PACKAGES.iter().find(|(known, _)| has(known));
    found.map_or_else(|| module.split('.').next().unwrap_or(module), |(_, package)| package)
}

/// The module of Python 3 that has replaced one of Python 2.
pub(super) fn successor(module: &str) -> Option<&'static str> {
    look_up(&OF_PYTHON_2, module)
}

/// How a module's name is written.
pub(super) fn written(module: &str) -> Option<&'static str> {
    look_up(&OTHERWISE, module)
}

fn look_up(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == name).map(|(_, other)| *other)
}
