//! What the tests of the checks share.

use helpers::checks::Verdict;

/// Each verdict must be one line with its hint in it, or "ok" if the hint is "ok: ".
#[track_caller]
pub fn assert_all<'a>(verdicts: impl IntoIterator<Item = (&'a str, Verdict)>) {
    let mut failures = Vec::new();
    for (i, (hint, verdict)) in verdicts.into_iter().enumerate() {
        let text = verdict.to_string();
        let begin = if hint == "ok: " { "ok: " } else { "not yet: " };
        if verdict.is_ok() != (hint == "ok: ")
            || !text.starts_with(begin)
            || !text.contains(hint)
            || text.lines().count() != 1
        {
            failures.push(format!("answer {i}: expected {hint:?}, got {text:?}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
