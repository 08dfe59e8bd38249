//! The `model` of a multipart form, read from the buffered body or its beginning.

use std::ops::Range;

/// The values of the parts named `model` that are not empty, and where they stand. None if the body is no such form.
pub(super) fn models<'b>(content_type: &str, body: &'b [u8]) -> impl Iterator<Item = (String, Range<usize>)> + use<'b> {
    let boundary = boundary(content_type).map(|boundary| format!("--{boundary}")).unwrap_or_default();
    let mut rest = find(body, boundary.as_bytes()).map(|at| &body[at + boundary.len()..]);
    std::iter::from_fn(move || {
        loop {
            let part = rest.take()?;
            // "--" behind a boundary ends the form.
            let part = part.strip_prefix(b"\r\n").or_else(|| part.strip_prefix(b"\n"))?;
            let (head, content) = split_head(part)?;
            let end = find(content, boundary.as_bytes())?;
            rest = Some(&content[end + boundary.len()..]);
            if names_model(head) {
                let value = content[..end].strip_suffix(b"\n").unwrap_or(&content[..end]);
                let value = std::str::from_utf8(value.strip_suffix(b"\r").unwrap_or(value)).ok()?;
                let at = body.len() - content.len();
                if !value.is_empty() {
                    return Some((value.to_owned(), at..at + value.len()));
                }
            }
        }
    })
}

/// Whether a `Content-Type` is that of a form in parts.
pub(super) fn is_form(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("multipart/form-data")
}

fn boundary(content_type: &str) -> Option<String> {
    if !is_form(content_type) {
        return None;
    }
    parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty() && boundary.len() <= 70)
}

/// A parameter of a header value, without its quotes.
fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// A part's header lines and what follows the empty line behind them.
fn split_head(part: &[u8]) -> Option<(&[u8], &[u8])> {
    // Headers of a part are short; a search without this bound would cross a whole file.
    let head = &part[..part.len().min(4096)];
    let crlf = find(head, b"\r\n\r\n").map(|at| (&head[..at], &part[at + 4..]));
    crlf.or_else(|| find(head, b"\n\n").map(|at| (&head[..at], &part[at + 2..])))
}

fn names_model(head: &[u8]) -> bool {
    String::from_utf8_lossy(head).lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("content-disposition") && parameter(value, "name").as_deref() == Some("model")
        })
    })
}

/// Where `needle` (not empty) first stands. Skips ahead by up to its length (Horspool): files in forms are large.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let last = needle.len().checked_sub(1)?;
    let mut skip = [needle.len(); 256];
    for (at, byte) in needle[..last].iter().enumerate() {
        skip[usize::from(*byte)] = last - at;
    }
    let mut at = 0;
    while let Some(window) = text.get(at..at + needle.len()) {
        if window == needle {
            return Some(at);
        }
        at += skip[usize::from(window[last])];
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(content_type: &str, body: &[u8]) -> Option<(String, Range<usize>)> {
        models(content_type, body).next()
    }

    const FORM: &str = "multipart/form-data; boundary=\"x-y\"";

    #[test]
    fn the_model_is_found_before_or_behind_the_file() {
        for body in [
            "--x-y\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper:1b\r\n--x-y--\r\n",
            "--x-y\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav\r\n\r\n\
             RIFF\r\n\r\n--x-\r\n--x-y\r\ncontent-disposition: form-data; name=model\r\n\r\nwhisper:1b\r\n--x-y--\r\n",
            "preamble\n--x-y\nContent-Disposition: form-data; name=\"model\"\n\nwhisper:1b\n--x-y--\n",
        ] {
            let (name, at) = model(FORM, body.as_bytes()).unwrap();
            assert_eq!((name.as_str(), &body[at]), ("whisper:1b", "whisper:1b"), "{body}");
        }
    }

    #[test]
    fn a_form_without_a_model_or_without_an_end_has_none() {
        for body in [
            "",
            "--x-y--\r\n",
            "--x-y\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nname=\"model\"\r\n--x-y--\r\n",
            "--x-y\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisp",
            "--x-y\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n\r\n--x-y--",
        ] {
            assert_eq!(model(FORM, body.as_bytes()), None, "{body}");
        }
        assert_eq!(model("application/json; boundary=x-y", b"--x-y\r\n"), None);
    }

    #[test]
    fn a_second_model_is_found_too() {
        let part = |name| format!("--x-y\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{name}\r\n");
        let body = ["a", "", "b"].map(part).concat() + "--x-y--\r\n";
        assert_eq!(models(FORM, body.as_bytes()).map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn a_found_place_is_the_first(text in "[ab]{0,40}", needle in "[ab]{1,4}") {
            prop_assert_eq!(find(text.as_bytes(), needle.as_bytes()), text.find(&needle));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "(--x-y|\r\n|name=\"model\"|:|Content-Disposition|.){0,12}") {
            let _ = model(FORM, &bytes);
            let _ = model(FORM, text.as_bytes());
            let _ = model(&text, &bytes);
        }
    }
}
