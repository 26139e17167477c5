//! Names that a misspelt name may have been meant for.

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

/// `; did you mean a or b?`, or nothing if no name is similar.
pub fn question<'n>(wanted: &str, among: impl IntoIterator<Item = &'n str>) -> String {
    match names(wanted, among).as_slice() {
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
    }
}
