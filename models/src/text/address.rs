//! Web and e-mail addresses in a text.

/// Endings of host names that are addresses also without a path. Short, because a forgotten space
/// behind a full stop looks the same (`home.Me`).
const ENDINGS: [&str; 14] = [
    "com", "net", "org", "io", "co", "edu", "gov", "info", "shop", "store", "app", "ly", "link",
    "bio",
];

/// The text with each address replaced.
pub(super) fn replaced(text: &str, by: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let run = &rest[start..];
        let run = &run[..run.find(|c| !is_part(c)).unwrap_or(run.len())];
        out.push_str(&rest[..start]);
        match find(run) {
            Some(at) => {
                out.push_str(&run[..at]);
                out.push_str(by);
            }
            None => out.push_str(run),
        }
        rest = &rest[start + run.len()..];
    }
    out.push_str(rest);
    out
}

/// Where an address begins in a run of characters that addresses are made of. It ends with the run.
fn find(run: &str) -> Option<usize> {
    let lower = run.to_ascii_lowercase();
    let marked = ["http://", "https://", "www."].iter().filter_map(|mark| {
        let at = lower.find(mark)?;
        (lower.len() > at + mark.len()).then_some(at)
    });
    marked.min().or_else(|| bare(&lower))
}

/// An address without a scheme: `shop.example.com`, `lnk.example/abc`, `me@example.com`.
fn bare(run: &str) -> Option<usize> {
    let start = run.find(|c: char| c.is_ascii_alphanumeric())?;
    let (host, path) = match run[start..].split_once('/') {
        Some((host, path)) => (host, !path.is_empty()),
        None => (run[start..].trim_end_matches(|c: char| !c.is_ascii_alphanumeric()), false),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.split_once([':', '?']).map_or(host, |(host, _)| host);
    let (name, ending) = host.rsplit_once('.')?;
    let labels = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let named = name.chars().all(labels) && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    let ends = ENDINGS.contains(&ending)
        || (path
            && (2..=4).contains(&ending.len())
            && ending.chars().all(|c| c.is_ascii_lowercase()));
    (named && ends).then_some(start)
}

/// Characters of an address; the first other one ends it, which a text in a script without spaces
/// needs.
fn is_part(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '`' | '{' | '}' | '|' | '\\' | '^')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_and_what_only_looks_like_one_stays() {
        let cases: &[(&str, &str)] = &[
            ("see https://a.test/b?c=d#e now", "see ~ now"),
            ("HTTP://A.TEST", "~"),
            ("www.shop.test/new", "~"),
            ("(https://a.test)", "(~"),
            ("read:https://a.test/x", "read:~"),
            ("看https://a.test/b，好", "看~，好"),
            ("order at cakes.com!", "order at ~"),
            ("bit.ly/3xYz and lnk.ee/me", "~ and ~"),
            ("write to me.you+x@mail.co", "write to ~"),
            ("Home.Me too, and/or 1.5/2", "Home.Me too, and/or 1.5/2"),
            ("e.g./i.e. 50/50 ... ok.", "e.g./i.e. 50/50 ... ok."),
            ("https:// alone, www. alone", "https:// alone, www. alone"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(replaced(text, "~"), *expected, "{text}");
        }
    }
}
