//! Text with names in double braces, filled in one pass: what is put in is never read again as a name.

/// The template with what `value` says of each name; an unknown name stays as it is.
pub(super) fn fill(template: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let found = after.split_once("}}").and_then(|(name, behind)| Some((value(name)?, behind)));
        match found {
            Some((text, behind)) => {
                filled.push_str(&text);
                rest = behind;
            }
            None => {
                filled.push_str("{{");
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// The text as it may stand between tags and inside quotes.
pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, c| {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_are_called_cannot_become_markup() {
        assert_eq!(escaped("<img src=x onerror='a'>&\""), "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn what_is_put_in_is_not_filled_again() {
        let value = |name: &str| match name {
            "a" => Some("{{b}}".to_owned()),
            "b" => Some("never".to_owned()),
            _ => None,
        };
        assert_eq!(fill("1 {{a}} 2 {{c}} 3 {{", &value), "1 {{b}} 2 {{c}} 3 {{");
    }
}
