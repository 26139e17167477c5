//! Which variables belong to one request, by their names.

/// Whether a variable belongs to one request: RFC 3875 4.1's meta-variables,
/// and what servers add for each request. Everything else, such as what
/// `SetEnv` sets, is the same for all of an application's requests.
///
/// Apache also gives a program the variables that control the server itself, with an underscore for each character that
/// a variable's name may not have. Its documentation and Debian's `setenvif.conf` set these by what the client sends.
pub fn is_of_a_request(name: &[u8]) -> bool {
    NAMES.contains(&name)
        || OF_APACHE.contains(&name)
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// Of what controls Apache itself.
const OF_APACHE: &[&[u8]] = &[
    b"dont_vary",
    b"downgrade_1_0",
    b"force_gzip",
    b"force_no_vary",
    b"force_proxy_request_1_0",
    b"force_response_1_0",
    b"gzip_only_text_html",
    b"no_brotli",
    b"no_cache",
    b"no_etag",
    b"no_gzip",
    b"nokeepalive",
    b"prefer_language",
    b"proxy_chain_auth",
    b"proxy_initial_not_pooled",
    b"proxy_interim_response",
    b"proxy_nokeepalive",
    b"proxy_sendchunked",
    b"proxy_sendcl",
    b"redirect_carefully",
    b"ssl_accurate_shutdown",
    b"ssl_unclean_shutdown",
    b"suppress_error_charset",
];

const NAMES: &[&[u8]] = &[
    b"AUTH_TYPE",
    b"CONTEXT_DOCUMENT_ROOT",
    b"CONTEXT_PREFIX",
    b"DOCUMENT_ROOT",
    b"DOCUMENT_URI",
    b"FCGI_ROLE",
    b"GATEWAY_INTERFACE",
    b"HTTPS",
    b"PATH_INFO",
    b"PATH_TRANSLATED",
    b"QUERY_STRING",
    b"UNIQUE_ID",
    b"UNIQUE_STAMP",
    b"USER_NAME",
    b"DATE_GMT",
    b"DATE_LOCAL",
    b"LAST_MODIFIED",
    b"CGI2WSGI_LOG",
    b"CGI2WSGI_LOG_FORMAT",
    b"CGI2WSGI_LOG_SIZE",
    b"CGI2WSGI_RECORD",
    b"CGI2WSGI_RECORD_ALL",
    b"CGI2WSGI_RECORD_MAX",
    b"CGI2WSGI_RECORD_SECRETS",
    b"CGI2WSGI_TIMINGS",
    b"HTTP2",
    b"H2PUSH",
    b"_",
];

const BEGINNINGS: &[&[u8]] = &[
    b"AUTHORIZE_",
    b"CONTENT_",
    b"GEOIP_",
    b"H2_",
    b"HTTP_",
    b"MATCH_",
    b"MELLON_",
    b"MMDB_",
    b"OIDC_",
    b"REDIRECT_",
    b"REMOTE_",
    b"REQUEST_",
    b"SCRIPT_",
    b"SERVER_",
    b"SSL_",
    b"Shib_",
    b"AUTHENTICATE_",
];
