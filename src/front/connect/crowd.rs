//! Too many zygotes of one application differ only in variables: the message names these variables.

use std::collections::{BTreeMap, BTreeSet};

use crate::cgi::variables::Variables;
use crate::handoff::Limits;
use crate::report::printable_line;
use crate::zygotes::{directory, process};

/// How many names a message has.
const MOST_NAMES: usize = 3;

/// The longest name, in characters: a client may have chosen it.
const LONGEST: usize = 80;

type Surroundings = BTreeMap<Vec<u8>, Vec<u8>>;

/// Why no zygote is started for a request with `variables`, in addition to those with these process IDs.
pub(super) fn why(pids: &[u32], variables: &Variables, limits: &Limits) -> String {
    let kept = |pairs: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>| -> Surroundings {
        let is_settled = |name: &[u8]| {
            limits.is_of_a_request(name)
                || name == directory::VARIABLE.as_bytes()
                || matches!(name, b"PYTHONINSPECT" | b"PYTHONSTARTUP" | b"")
        };
        pairs.filter(|(name, _)| !is_settled(name)).collect()
    };
    let ours = kept(&mut variables.iter().map(|(name, value)| (name.to_vec(), value.to_vec())));
    let others: Vec<Surroundings> = pids
        .iter()
        .filter_map(|pid| Some(kept(&mut process::variables(*pid)?.into_iter())))
        .collect();
    message(&differing(&ours, &others))
}

/// The names of the variables in which this request differs from all of the others; if there is none, from any.
fn differing(ours: &Surroundings, others: &[Surroundings]) -> BTreeSet<Vec<u8>> {
    let from = |theirs: &Surroundings| -> BTreeSet<Vec<u8>> {
        let names = ours.keys().chain(theirs.keys());
        names.filter(|name| ours.get(*name) != theirs.get(*name)).cloned().collect()
    };
    let each: Vec<_> = others.iter().map(from).collect();
    let of_all = each.iter().cloned().reduce(|one, other| &one & &other).unwrap_or_default();
    if of_all.is_empty() { each.into_iter().flatten().collect() } else { of_all }
}

fn message(names: &BTreeSet<Vec<u8>>) -> String {
    let shown = |name: &Vec<u8>| printable_line(&String::from_utf8_lossy(name), LONGEST);
    let mut all: Vec<String> = names.iter().take(MOST_NAMES).map(shown).collect();
    let first = all.first().cloned().unwrap_or_else(|| "NAME".to_owned());
    if names.len() > MOST_NAMES {
        all.push(format!("{} more", names.len() - MOST_NAMES));
    }
    let differ = if all.is_empty() { "a variable".to_owned() } else { all.join(", ") };
    format!(
        "four zygotes of this application already run, and this request differs from them only in {differ}: if \
         the server sets it anew for each request, and the import does not use it, give --warm-ignore {first} \
         (CGI2WSGI_WARM_IGNORE)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(pairs: &[(&str, &str)]) -> Surroundings {
        pairs
            .iter()
            .map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into()))
            .collect()
    }

    #[test]
    fn v2_the_variable_is_named_in_which_all_differ() {
        let ours = surroundings(&[("KIND", "new"), ("LANG", "C"), ("A", "1")]);
        let others = [
            surroundings(&[("KIND", "1"), ("LANG", "C"), ("A", "1")]),
            surroundings(&[("LANG", "C"), ("A", "2")]),
        ];
        assert_eq!(differing(&ours, &others), [b"KIND".to_vec()].into());
        let none_of_all = [surroundings(&[("KIND", "new"), ("LANG", "C")]), others[0].clone()];
        assert_eq!(differing(&ours, &none_of_all), [b"A".to_vec(), b"KIND".to_vec()].into());
        assert_eq!(differing(&ours, &[]), BTreeSet::new());
    }

    #[test]
    fn v2_the_message_gives_the_option_and_no_line_of_its_own() {
        let names = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let text = message(&names(&["KIND"]));
        assert!(text.contains("only in KIND:") && text.contains("--warm-ignore KIND ("), "{text}");
        let text = message(&names(&["A\n", "B", "C", "D"]));
        assert!(text.contains("B, C, 1 more:") && !text.contains('\n'), "{text}");
        assert!(message(&names(&[])).contains("--warm-ignore NAME"), "{text}");
    }
}
