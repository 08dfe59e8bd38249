//! What inline pictures and sounds are, by their first bytes: Ollama's clients send bare base64.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::fields::bad;
use super::talk::{Image, Part};
use crate::values::Fault;

/// Standard base64 that forgives missing padding.
pub(crate) const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A picture or sound of a native client; a data URI, which sloppy ones send, is taken apart.
pub(crate) fn part(text: String) -> Result<Part, Fault> {
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(bad("`images` must be base64: the proxy fetches no URLs"));
    }
    let data = match data_uri(&text) {
        Some((_, data)) => data.to_owned(),
        None => text,
    };
    let head = data.get(..24).unwrap_or(&data);
    let head =
        BASE64.decode(head.get(..head.len() / 4 * 4).unwrap_or_default()).map_err(|_| bad("illegal base64 data in `images`"))?;
    Ok(match &*head {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Part::Audio { format: "wav".to_owned(), data },
        [b'I', b'D', b'3', ..] => Part::Audio { format: "mp3".to_owned(), data },
        head => Part::Image(Image::Inline { media_type: media_type(head).to_owned(), data }),
    })
}

/// A URL of a picture: inline data, or an address that the provider fetches by itself.
pub(crate) fn of_url(url: String) -> Part {
    match data_uri(&url) {
        Some((media_type, data)) => Part::Image(Image::Inline { media_type: media_type.to_owned(), data: data.to_owned() }),
        None => Part::Image(Image::Url(url)),
    }
}

/// Media type and base64 of a `data:` URI. An unnamed type is told by the bytes.
fn data_uri(text: &str) -> Option<(&str, &str)> {
    let (head, data) = text.strip_prefix("data:")?.split_once(',')?;
    let named = head.strip_suffix(";base64")?.split(';').next().unwrap_or_default();
    if named.is_empty() {
        let bytes = BASE64.decode(data.get(..16)?).ok()?;
        return Some((media_type(&bytes), data));
    }
    Some((if named == "image/jpg" { "image/jpeg" } else { named }, data))
}

fn media_type(head: &[u8]) -> &'static str {
    match head {
        [0xFF, 0xD8, 0xFF, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => "image/png",
    }
}
