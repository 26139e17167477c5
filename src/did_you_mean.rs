//! Names that a misspelt name may have been meant for.

/// What the names of all settings begin with.
const SETTING: &str = "CGI2WSGI_";

/// At most three names that are similar to `wanted`, the most similar first.
pub fn names<'n>(wanted: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let lower = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name))
        .filter(|(score, name)| *score > 0.8 && *name != wanted)
        .collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    scored.dedup();
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// At most three variables `CGI2WSGI_...` that are similar to `wanted`. What all of them begin with is not compared.
pub fn settings<'n>(wanted: &str, among: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let among: Vec<&str> = among.into_iter().collect();
    let wanted = wanted.strip_prefix(SETTING).unwrap_or(wanted);
    let near = names(wanted, among.iter().filter_map(|name| name.strip_prefix(SETTING)));
    let whole =
        |near: &str| among.iter().copied().find(|name| name.strip_prefix(SETTING) == Some(near));
    near.into_iter().filter_map(whole).collect()
}

/// `; did you mean a or b?`, for a variable `CGI2WSGI_...`.
pub fn setting<'n>(wanted: &str, among: impl IntoIterator<Item = &'n str>) -> String {
    ask(&settings(wanted, among))
}

/// `; did you mean a or b?`, or nothing if no name is similar.
pub fn question<'n>(wanted: &str, among: impl IntoIterator<Item = &'n str>) -> String {
    ask(&names(wanted, among))
}

fn ask(found: &[&str]) -> String {
    match found {
        [] => String::new(),
        found => format!("; did you mean {}?", found.join(" or ")),
    }
}

/// The same for an option. The dashes are not compared: they would make all options similar.
pub fn option<'n>(wanted: &str, among: impl IntoIterator<Item = &'n str>) -> String {
    let Some(wanted) = wanted.strip_prefix("--") else { return String::new() };
    match names(wanted, among).as_slice() {
        [] => String::new(),
        found => format!("; did you mean --{}?", found.join(" or --")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_come_first_and_others_not_at_all() {
        let there = ["hello.py", "hello_class.py", "upload.py"];
        assert_eq!(names("helo.py", there), ["hello.py"]);
        assert_eq!(names("hello_clas.py", there)[0], "hello_class.py");
        assert!(names("zzz", there).is_empty());
        assert_eq!(question("uplod.py", there), "; did you mean upload.py?");
        assert_eq!(question("qqq", there), "");
        assert_eq!(option("--vnev", ["venv", "debug"]), "; did you mean --venv?");
        assert_eq!(option("-v", ["venv", "debug"]), "");
        let known = ["CGI2WSGI_TIMEOUT", "CGI2WSGI_RECORD", "CGI2WSGI_MAX_BODY"];
        assert_eq!(setting("CGI2WSGI_TIMOUT", known), "; did you mean CGI2WSGI_TIMEOUT?");
        assert_eq!(setting("CGI2WSGI_UNHEARD_OF", known), "");
    }
}
