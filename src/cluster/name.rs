//! Names of workers and nodes, as they may stand in paths and labels.

/// Longer is no name.
const LONGEST: usize = 128;

/// Whether a text may be a name.
pub(super) fn is_plain(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

/// The name itself, or with the first suffix that makes it nobody else's.
pub(super) fn unique(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(name) {
        return name.to_owned();
    }
    let stem = &name[..name.len().min(LONGEST - 8)];
    (2..=u32::MAX).map(|number| format!("{stem}-{number}")).find(|name| !is_taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_gets_the_first_free_number() {
        let taken = |names: &'static [&'static str]| move |name: &str| names.contains(&name);
        assert_eq!(unique("gpu", taken(&[])), "gpu");
        assert_eq!(unique("gpu", taken(&["gpu", "gpu-2"])), "gpu-3");
        assert!(is_plain(&unique(&"x".repeat(128), |name| name.len() == 128)));
    }

    #[test]
    fn only_what_fits_into_a_path_is_a_name() {
        assert!(["gpu-1.lan", "a", "llama3:8b_x"].into_iter().all(is_plain));
        assert!(!["", "a b", "a/b", "ä", "a\"", "..\\", "a%2f"].into_iter().any(is_plain));
        assert!(!is_plain(&"x".repeat(129)));
    }
}
