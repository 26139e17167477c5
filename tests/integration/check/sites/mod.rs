//! The broken sites. `NAME.rs` here has the sites whose mistakes `src/front/check/NAME.rs` finds.

/// A Django site in one file; `$settings` is added to its settings.
macro_rules! django {
    ($settings:literal) => {
        concat!(
            "from django.conf import settings\nsettings.configure(ROOT_URLCONF='app', ",
            $settings,
            ")\nfrom django.core.wsgi import get_wsgi_application\nurlpatterns = []\n\
             application = get_wsgi_application()\n"
        )
    };
}

mod application;
mod callable;
mod exception;
mod frameworks;
mod import;
mod machine;
mod python;
mod request;
mod script;
mod server;

use super::Site;

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Site> {
    [
        application::SITES,
        script::SITES,
        machine::SITES,
        python::SITES,
        import::SITES,
        exception::SITES,
        callable::SITES,
        request::SITES,
        frameworks::SITES,
        server::SITES,
    ]
    .into_iter()
    .flatten()
}
