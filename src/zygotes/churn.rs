//! Files that requests write and the import reads. Each change of such a file needs another import. A zygote that
//! answers only one request before the next change is of no use, and starting it takes longer than a normal start.
//! After several of these in a row, requests make normal starts for a while, and a message names the file.

use std::time::Duration;

/// How many zygotes in a row may end this way before requests make normal starts.
const MOST: u32 = 4;

/// For how long requests make normal starts.
pub const REST: Duration = Duration::from_secs(60);

/// Zygotes of one name that ended in a row because a file that is not code had changed, each after at most one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Churn {
    /// How many.
    pub count: u32,
    /// The last of the files.
    pub file: String,
}

impl Churn {
    /// The count after another zygote, which ends because `file` has changed. `is_code`: people change it, requests do
    /// not.
    #[must_use]
    pub fn after(last: Option<&Self>, file: &str, is_code: bool, requests: u64) -> Option<Self> {
        let count = last.map_or(0, |last| last.count).saturating_add(1);
        (!is_code && requests <= 1).then(|| Self { count, file: file.to_owned() })
    }

    /// The reason that a zygote gives for its end when `file` has changed.
    pub fn why_ended(file: &str) -> String {
        format!("{file} changed")
    }

    /// Whether `ended` is the reason that the last of these zygotes gave.
    pub fn has_ended(&self, ended: &str) -> bool {
        ended == Self::why_ended(&self.file)
    }

    /// Why the next zygote imports nothing, if the last one gave the reason `ended`. `None`: it imports.
    pub fn rest(&self, ended: &str) -> Option<String> {
        let Self { count, file } = self;
        (*count >= MOST && self.has_ended(ended)).then(|| {
            format!(
                "the import reads {file}, which has changed since then: {count} zygotes in a row became out of \
                 date after at most one request, and each change needs another import. Requests make normal \
                 (cold) starts for {} s. If requests write this file, read it in the request and not at import; \
                 if its content at import time is enough, give --warm-ignore {file}",
                REST.as_secs()
            )
        })
    }

    /// As it stands in a status file.
    pub fn encode(&self) -> String {
        format!("{} {}", self.count, self.file)
    }

    /// What [`Self::encode`] gave.
    pub fn decode(text: &str) -> Option<Self> {
        let (count, file) = text.split_once(' ')?;
        Some(Self { count: count.parse().ok()?, file: file.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_some_changes_in_a_row_the_next_zygote_rests() {
        let mut churn = None;
        for number in 1..=MOST {
            assert_eq!(churn.as_ref().and_then(|churn: &Churn| churn.rest("/a changed")), None);
            churn = Churn::after(churn.as_ref(), "/a", false, u64::from(number % 2));
        }
        let churn = churn.expect("it counts");
        let why = churn.rest("/a changed").expect("it rests");
        assert!(why.contains("reads /a,") && why.ends_with("--warm-ignore /a"), "{why}");
        // The rest is over.
        assert_eq!(churn.rest("it is time to try again"), None);
        assert_eq!(Churn::decode(&churn.encode()), Some(churn));
    }

    #[test]
    fn an_edit_of_code_and_a_zygote_that_was_of_use_begin_anew() {
        let many = Churn { count: 9, file: "/a".into() };
        assert_eq!(Churn::after(Some(&many), "/app.py", true, 1), None);
        assert_eq!(Churn::after(Some(&many), "/a", false, 2), None);
        assert_eq!(Churn::after(Some(&many), "/b", false, 1).map(|churn| churn.count), Some(10));
    }
}
