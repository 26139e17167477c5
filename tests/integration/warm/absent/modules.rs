//! Modules, packages and distributions that appear after the import.

use std::fs;

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "an optional module that appears is imported",
        files: &[],
        code: "try:\n    from local_settings import SETTING\nexcept ImportError:\n    SETTING = 'none'\n",
        before: "none",
        change: |site| site.write("local_settings.py", "SETTING = 'local'\n"),
        after: "local",
    },
    Case {
        name: "the optional module of a package, imported with *, is imported when it appears",
        files: &[(
            "conf/__init__.py",
            "SETTING = 'default'\ntry:\n    from .local import *\nexcept ImportError:\n    pass\n",
        )],
        code: "from conf import SETTING\n",
        before: "default",
        change: |site| site.write("conf/local.py", "SETTING = 'local'\n"),
        after: "local",
    },
    Case {
        name: "a module that importlib did not find is imported when it appears, as a package too",
        files: &[],
        code: "import importlib, importlib.util\nif importlib.util.find_spec('extra'):\n    \
               SETTING = importlib.import_module('extra').SETTING\nelse:\n    SETTING = 'none'\n",
        before: "none",
        change: |site| {
            fs::create_dir(site.path("new"))?;
            site.write("new/__init__.py", "SETTING = 'package'\n")?;
            Ok(fs::rename(site.path("new"), site.path("extra"))?)
        },
        after: "package",
    },
    Case {
        name: "an __init__.py is seen when it appears in a package without one",
        files: &[("extra/data.txt", "")],
        code: "import extra\nSETTING = getattr(extra, 'SETTING', 'namespace')\n",
        before: "namespace",
        change: |site| site.write("extra/__init__.py", "SETTING = 'package'\n"),
        after: "package",
    },
    Case {
        name: "a module that appears earlier on sys.path is imported in place of another of its name",
        files: &[("library/extra.py", "SETTING = 'library'\n")],
        code: "import sys\nsys.path.append(str(HERE / 'library'))\nfrom extra import SETTING\n",
        before: "library",
        change: |site| site.write("extra.py", "SETTING = 'own'\n"),
        after: "own",
    },
    Case {
        name: "a directory of modules that appears is searched",
        files: &[],
        code: "import sys\nsys.path.insert(0, str(HERE / 'later' / 'library'))\ntry:\n    \
               from extra import SETTING\nexcept ImportError:\n    SETTING = 'none'\n",
        before: "none",
        change: |site| {
            fs::create_dir_all(site.path("new/library"))?;
            site.write("new/library/extra.py", "SETTING = 'library'\n")?;
            Ok(fs::rename(site.path("new"), site.path("later"))?)
        },
        after: "library",
    },
    Case {
        name: "a module that appears where pkgutil has listed modules is seen",
        files: &[("plugins/one.py", ""), ("plugins/__init__.py", "")],
        code: "import pkgutil, plugins\nSETTING = ' '.join(module.name for module in pkgutil.iter_modules(plugins.__path__))\n",
        before: "one",
        change: |site| site.write("plugins/two.py", ""),
        after: "one two",
    },
    Case {
        name: "a distribution that importlib.metadata did not find is seen when it appears",
        files: &[],
        code: "import importlib.metadata as metadata\ntry:\n    SETTING = metadata.version('extra-of-site')\n\
               except metadata.PackageNotFoundError:\n    SETTING = 'none'\n",
        before: "none",
        change: |site| {
            fs::create_dir(site.path("new"))?;
            site.write("new/METADATA", "Name: extra-of-site\nVersion: 1.5\n")?;
            Ok(fs::rename(site.path("new"), site.path("extra_of_site-1.5.dist-info"))?)
        },
        after: "1.5",
    },
    Case {
        name: "a settings module of Django that is optional is imported when it appears",
        files: &[
            (
                "mysite/settings.py",
                "SECRET_KEY = 'secret'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'mysite.urls'\nGREETING = 'default'\n\
             try:\n    from .local_settings import *\nexcept ImportError:\n    pass\n",
            ),
            (
                "mysite/urls.py",
                "from django.conf import settings\nfrom django.http import HttpResponse\nfrom django.urls import path\n\
             urlpatterns = [path('', lambda request: HttpResponse(settings.GREETING))]\n",
            ),
            ("mysite/__init__.py", ""),
        ],
        code: "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'mysite.settings'\n\
               from django.core.wsgi import get_wsgi_application\n_django = get_wsgi_application()\nSETTING = None\n",
        before: "default",
        change: |site| site.write("mysite/local_settings.py", "GREETING = 'local'\n"),
        after: "local",
    },
];
