//! What a picture is, from its bytes: enough to know whether it came through whole.

use base64::Engine;

/// A picture's type and size in words; an error if it is none of `media_type`.
pub fn see(media_type: &str, data: &str) -> Result<String, String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).map_err(|why| format!("invalid base64: {why}"))?;
    let kind = match &bytes[..] {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => return Err("Could not process image".to_owned()),
    };
    if kind != media_type {
        return Err(format!("Image does not match the provided media type {media_type}"));
    }
    Ok(format!("{kind} of {} bytes", bytes.len()))
}
