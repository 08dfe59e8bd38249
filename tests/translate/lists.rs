//! Lists of models: both providers' read, and shown as Ollama and OpenAI would.

use ollama_proxy::translate::{Abilities, Listed, Tongue, page};
use serde_json::json;

#[test]
fn openais_list_is_one_page_and_models_for_other_things_are_known_by_their_names() {
    let body = json!({ "object": "list", "data": [
        { "id": "gpt-4o-mini", "object": "model", "created": 1_721_172_741, "owned_by": "system" },
        { "id": "text-embedding-3-small", "created": 1 }, { "id": "dall-e-3" }, { "id": "whisper-1" }, { "id": "tts-1" },
        { "id": "omni-moderation-latest" }, { "id": "gpt-4o-realtime-preview" }, { "no": "id" }] });
    let page = page(body.to_string().as_bytes()).unwrap();
    assert_eq!(page.next, None);
    assert_eq!(page.models[0], Listed { id: "gpt-4o-mini".into(), created: 1_721_172_741, abilities: Abilities::default() });
    let texts: Vec<&str> = page.models.iter().filter(|model| model.is_for_text()).map(|model| model.id.as_str()).collect();
    assert_eq!(texts, ["gpt-4o-mini", "text-embedding-3-small"]);
}

#[test]
fn anthropics_list_has_pages_and_tells_what_its_models_can_do() {
    let yes = json!({ "supported": true });
    let body = json!({ "data": [{ "type": "model", "id": "claude-x", "display_name": "X", "created_at": "2026-02-04T00:00:00Z", "max_input_tokens": 200_000, "max_tokens": 64_000,
        "capabilities": { "thinking": { "supported": true, "types": { "adaptive": yes, "enabled": { "supported": false } } }, "effort": { "supported": true, "low": yes }, "image_input": yes } }],
        "has_more": true, "first_id": "claude-x", "last_id": "claude-x" });
    let page = page(body.to_string().as_bytes()).unwrap();
    assert_eq!(page.next.as_deref(), Some("claude-x"));
    let abilities = Abilities {
        max_tokens: Some(64_000),
        context: Some(200_000),
        adaptive_thinking: Some(true),
        budgeted_thinking: Some(false),
        effort: Some(true),
        images: Some(true),
    };
    assert_eq!(page.models, [Listed { id: "claude-x".into(), created: 1_770_163_200, abilities }]);
    assert!(ollama_proxy::translate::page(b"<html>").is_err());
}

#[test]
fn a_cloud_model_is_listed_and_shown_as_ollama_would() {
    let model = Listed {
        id: "claude-x".into(),
        created: 1_770_163_200,
        abilities: Abilities { context: Some(200_000), adaptive_thinking: Some(true), ..Abilities::default() },
    };
    let tag =
        model.tag("anthropic/claude-x", "https://api.anthropic.com", "anthropic", Tongue::Anthropic, |name| format!("{name}!"));
    assert_eq!(
        tag,
        json!({
        "name": "anthropic/claude-x", "model": "anthropic/claude-x", "remote_model": "claude-x", "remote_host": "https://api.anthropic.com",
        "modified_at": "2026-02-04T00:00:00Z", "size": 0, "digest": "anthropic/claude-x!",
        "details": { "parent_model": "", "format": "", "family": "anthropic", "families": ["anthropic"], "parameter_size": "", "quantization_level": "" },
        "capabilities": ["completion", "tools", "vision", "thinking"] })
    );
    let show = model.show("https://api.anthropic.com", "anthropic", Tongue::Anthropic);
    assert_eq!(show["model_info"], json!({ "general.architecture": "anthropic", "anthropic.context_length": 200_000 }));
    assert_eq!(
        model.model_v1("anthropic/claude-x", "anthropic"),
        json!({ "id": "anthropic/claude-x", "object": "model", "created": 1_770_163_200, "owned_by": "anthropic" })
    );
    let embeds = Listed { id: "text-embedding-3-small".into(), ..Listed::default() };
    assert_eq!(embeds.show("h", "openai", Tongue::OpenAi)["capabilities"], json!(["embedding"]));
}
